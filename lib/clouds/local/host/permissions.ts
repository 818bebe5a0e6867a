import type { Action, FunctionPlan } from "../../../parts/plan.ts";
import { MillraceError } from "../../../runtime/errors.ts";
import type { LinkAddress } from "../runtime/channel.ts";

interface Grant {
  /** What the channel carries for the port's methods: `open` and `file` read, `stage`, `commit` and `commitPiece` put. */
  readonly methods: readonly string[];
  /** What a function may not do without it. */
  readonly deed: string;
  /** What grants it. */
  readonly link: string;
}

/** What each permission word lets a handler ask of the host. */
export const GRANTS = {
  "bucket.read": { methods: ["head", "open", "file", "list"], deed: "read objects of", link: "read" },
  "bucket.write": {
    methods: ["stage", "commit", "beginUpload", "commitPiece", "listPieces", "completeUpload", "abortUpload"],
    deed: "put objects into",
    link: "write",
  },
  "bucket.remove": { methods: ["remove"], deed: "remove objects from", link: "remove" },
  "queue.send": { methods: ["send"], deed: "send messages to", link: "send" },
  "queue.receive": { methods: ["receive", "acknowledge", "extend"], deed: "receive messages from", link: "receive" },
  "table.read": { methods: ["get", "query"], deed: "read rows of", link: "read" },
  "table.write": { methods: ["put", "remove"], deed: "write rows of", link: "write" },
  "secret.read": { methods: ["value"], deed: "read the secret", link: "read" },
  // A volume is a path, known before the first call: it is linked, or it is not there.
  "volume.read": { methods: [], deed: "read files of", link: "mount" },
  "volume.write": { methods: [], deed: "write files of", link: "mount" },
  "function.invoke": { methods: ["invoke"], deed: "call", link: "invoke" },
  "task.submit": { methods: ["submit"], deed: "start runs of", link: "submit" },
  "task.read": { methods: ["get", "list", "audit"], deed: "look at runs of", link: "read" },
  "task.control": { methods: ["stop", "retry"], deed: "stop or retry runs of", link: "control" },
  "workflow.start": { methods: ["start"], deed: "start runs of", link: "start" },
  "workflow.read": { methods: ["get", "list"], deed: "look at runs of", link: "control" },
  "workflow.control": { methods: ["stop", "retry"], deed: "stop or retry runs of", link: "control" },
  "workflow.answer": { methods: ["answer"], deed: "answer callbacks of", link: "answer" },
  "stream.read": { methods: ["read"], deed: "read records of", link: "read" },
  "stream.produce": { methods: ["send"], deed: "append records to", link: "produce" },
  "stream.claim": { methods: ["claim", "commit"], deed: "keep its place in", link: "claim" },
} as const satisfies Readonly<Record<Action, Grant>>;

const ACTIONS = Object.keys(GRANTS) as readonly Action[];

/** A permission that was made use of. */
export interface UsedVerb {
  /** The linked part. */
  readonly part: string;
  readonly action: Action;
}

/** The kind of part that links of these actions name. */
export const kindOf = (actions: readonly Action[]): LinkAddress["kind"] =>
  (actions[0] ?? "").split(".")[0] as LinkAddress["kind"];

/** Decides what a function may ask of the parts it is linked to, and remembers what it did ask. */
export class Permissions {
  readonly #plans = new Map<string, FunctionPlan>();
  readonly #used = new Map<string, Map<string, UsedVerb>>();

  define(plan: FunctionPlan): void {
    this.#plans.set(plan.name, plan);
  }

  remove(name: string): void {
    this.#plans.delete(name);
  }

  /**
   * What lets the function do this.
   *
   * @throws `refused` if none of its links does.
   */
  check(name: string, link: string, method: string): UsedVerb {
    const { part, actions } = this.#plans.get(name)?.links[link] ?? { part: undefined, actions: [] };
    if (part === undefined) {
      throw new MillraceError("refused", `function "${name}" has no link "${link}"`);
    }
    const kind = kindOf(actions);
    const asked = ACTIONS.filter((action) => action.startsWith(`${kind}.`)).find((action) =>
      isGrantFor(action, method),
    );
    if (!asked) throw new MillraceError("refused", `function "${name}": ${kind} "${part}" knows no "${method}"`);
    if (!actions.includes(asked)) throw new MillraceError("refused", refusal(name, link, part, actions, asked));
    const verb = { part, action: asked };
    this.#usedOf(name).set(`${part} ${asked}`, verb);
    return verb;
  }

  /** What the function has made use of so far: what it is granted beyond that, it may not need. */
  usedVerbs(name: string): readonly UsedVerb[] {
    return [...this.#usedOf(name)].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, verb]) => verb);
  }

  #usedOf(name: string): Map<string, UsedVerb> {
    const used = this.#used.get(name) ?? new Map<string, UsedVerb>();
    this.#used.set(name, used);
    return used;
  }
}

const isGrantFor = (action: Action, method: string): boolean =>
  (GRANTS[action].methods as readonly string[]).includes(method);

function refusal(name: string, link: string, part: string, actions: readonly Action[], asked: Action): string {
  const words = [...actions, asked].map((action) => `${GRANTS[action].link}(${link})`);
  const granting = words.length > 1 ? `all(${words.join(", ")})` : words[0];
  return `function "${name}" may not ${GRANTS[asked].deed} "${part}"; link it: links: { ${link}: ${granting} }`;
}
