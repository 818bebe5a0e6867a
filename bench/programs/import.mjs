/** Imports one module and tells the parent how many milliseconds that took. Plain JavaScript: Node 20 runs it too. */
import { pathToFileURL } from "node:url";

const url = pathToFileURL(process.argv[2]).href;
const began = performance.now();
await import(url);
process.send(performance.now() - began);
