import type { Problem } from "../shared/problem.ts";
import type { FindPart } from "./check.ts";
import type { FunctionPlan, ImagePlan, PythonPlan } from "./plan.ts";

/** A program that a cloud runs in a container beside its caller. */
export type SidecarPlan = FunctionPlan & {
  readonly program: { readonly image: ImagePlan } | { readonly python: PythonPlan };
};

/** The programs that a function calls. */
export const programsOf = ({ links }: FunctionPlan, find: FindPart): readonly SidecarPlan[] =>
  Object.values(links)
    .map(({ part }) => find(part))
    .filter((plan): plan is SidecarPlan => plan?.kind === "function" && plan.program !== undefined);

/** The port of an image beside others; a Python function has the one that the cloud gives it. */
const portOf = ({ program }: SidecarPlan): number | undefined => ("image" in program ? program.image.port : undefined);

/**
 * What cannot be where programs run beside their caller: two that listen on one port, and calls that are counted.
 *
 * @param taken ports that are not free there. @default none
 */
export const checkSidecars = (sidecars: readonly SidecarPlan[], taken: readonly number[] = []): readonly Problem[] =>
  sidecars.flatMap((plan, index) => {
    const { name, concurrency } = plan;
    const port = portOf(plan);
    const others = sidecars.slice(0, index).map(portOf);
    return [
      ...(port !== undefined && (taken.includes(port) || others.includes(port))
        ? [
            {
              path: `${name}.program.image.port`,
              message: "it runs beside its caller, where somebody else listens on this port",
              given: port,
              allowed: "another port",
            },
          ]
        : []),
      ...(concurrency === undefined
        ? []
        : [
            {
              path: `${name}.concurrency`,
              message: "it runs beside its caller, which calls it as often as it likes: bound the caller",
              given: concurrency,
            },
          ]),
    ];
  });
