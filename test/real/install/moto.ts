import { join } from "node:path";
import { pythonPackage } from "./python-package.ts";

/**
 * Installs moto, which plays AWS, once.
 *
 * @returns a Python for `-m moto.server`. `MILLRACE_MOTO_PYTHON` names another one to use.
 */
export const installMoto = async (): Promise<string> =>
  process.env.MILLRACE_MOTO_PYTHON ?? join(await pythonPackage("moto[server]==5.2.5"), "python");
