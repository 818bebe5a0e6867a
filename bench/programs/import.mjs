/**
 * Imports one module and tells the parent how many milliseconds that took, with what the module has to wait for (its
 * export `loaded`). Plain JavaScript: Node 20 runs it too.
 */
import { pathToFileURL } from "node:url";

const url = pathToFileURL(process.argv[2]).href;
const began = performance.now();
const { loaded } = await import(url);
await loaded;
process.send(performance.now() - began);
