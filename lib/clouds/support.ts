import type { CloudKind } from "../parts/plan.ts";
import type { Support } from "../parts/support.ts";
import { support as alicloud } from "./alicloud/support.ts";
import { support as aws } from "./aws/support.ts";
import { support as kubernetes } from "./kubernetes/support.ts";
import { support as local } from "./local/support.ts";

/** What every cloud does with every part and option, as plain data: no provider package is loaded. */
export const SUPPORT = { local, alicloud, aws, kubernetes } as const satisfies Record<CloudKind, Support>;
