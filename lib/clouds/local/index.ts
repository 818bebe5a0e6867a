import type { ComponentResourceOptions } from "@pulumi/pulumi";
import { Cloud, type CloudSettings } from "../../parts/index.ts";
import { build } from "./deploy/build.ts";
import { support } from "./support.ts";

/**
 * This computer: `millrace dev` runs what is declared on it. Under `pulumi up` its parts are only registered.
 *
 * @example
 * const cloud = local();
 * new AsyncTask("resize", { cloud, handler });
 */
export const local = (settings: CloudSettings = {}, opts?: ComponentResourceOptions): Cloud =>
  new Cloud({ kind: "local", support, build }, settings, opts);
