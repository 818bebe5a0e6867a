import * as pulumi from "@pulumi/pulumi";
import type { ScheduleFired } from "../runtime/events.ts";
import type { Handler } from "../runtime/handler.ts";
import { type Problem, refuse } from "../shared/problem.ts";
import { type BucketSpec, bucketPlan } from "./bucket.ts";
import { type Cloud, evaluation } from "./cloud.ts";
import { type AnyFunctionSpec, type FunctionSpec, functionPlan, type PayloadOf, type ResultOf } from "./function.ts";
import { invoke } from "./link.ts";
import { type MonitorSpec, monitorPlan } from "./monitor.ts";
import {
  type Bucket,
  type Built,
  type FunctionPart,
  type Monitor,
  Part,
  type PartNames,
  type Queue,
  type Schedule,
  type Secret,
  type Stream,
  type Table,
  type TaskPart,
  type Volume,
  type Workflow,
} from "./part.ts";
import type { ConstructPlan, PartKind, PartPlan, PlanOf, SourcePlan } from "./plan.ts";
import { isProgram, type Program, programLink, programPlan } from "./program.ts";
import { type QueueSpec, queuePlan } from "./queue.ts";
import { type ScheduleSpec, schedulePlan } from "./schedule.ts";
import { type SecretSpec, secretPlan } from "./secret.ts";
import type { Source } from "./source.ts";
import { type StreamSpec, streamPlan } from "./stream.ts";
import { type TableSpec, tablePlan } from "./table.ts";
import { type AnyTaskSpec, type TaskBehavior, type TaskSpec, taskPlan } from "./task.ts";
import { Units } from "./units.ts";
import { type VolumeSpec, volumePlan } from "./volume.ts";
import { type WorkflowSpec, workflowPlan } from "./workflow.ts";

/** What every construct takes. */
export interface ConstructArgs {
  /** Where it runs. @default the parent construct's cloud */
  readonly cloud?: Cloud;
  /** The stem of physical names: keep it when you rename the construct, and nothing is replaced. @default the name */
  readonly id?: string;
}

/** Parts are called by it, and so are folders of the local cloud. */
const NAME = /^[\p{L}\p{N}][\p{L}\p{N}_-]{0,99}$/u;

/**
 * The base of every construct. A constructor declares parts, says what else is wrong, and calls `build`: the cloud
 * then checks all parts, reports every problem in one error, and only then makes anything.
 */
export abstract class Construct extends pulumi.ComponentResource {
  readonly cloud: Cloud;
  readonly plan: ConstructPlan;
  readonly #declared: Part[] = [];
  readonly #unread: Problem[] = [];

  constructor(
    type: string,
    name: string,
    { cloud, id = name }: ConstructArgs,
    opts: pulumi.ComponentResourceOptions = {},
  ) {
    super(`millrace:constructs:${type}`, name, {}, opts);
    const parent = opts.parent instanceof Construct ? opts.parent : undefined;
    const chosen = cloud ?? parent?.cloud;
    if (!chosen) throw new Error(`${name}.cloud: name the cloud it runs on, for example { cloud: local() }`);
    if (!NAME.test(name)) {
      throw new Error(
        `${JSON.stringify(name)}: a construct's name has letters, digits, - and _, at most 100, and begins with a letter or digit`,
      );
    }
    this.cloud = chosen;
    this.plan = { name, type, id, cloud: chosen.plan.name, ...(parent && { parent: parent.plan.name }) };
    const others = chosen.program.flatMap(({ constructs }) => constructs);
    if (others.some((other) => other.name === name)) {
      throw new Error(`${name}: there is a construct of this name already; names are unique in a stack`);
    }
    if (others.some((other) => other.id === id && other.cloud !== chosen.plan.name)) {
      throw new Error(`${name}.id: a construct on another cloud has the id "${id}" already; ids are unique in a stack`);
    }
    chosen.constructs.push(this.plan);
  }

  protected bucket(id: string, spec: BucketSpec = {}): Bucket {
    const names = this.#names(id);
    return this.#declare(bucketPlan(names, spec, this.#units(names)));
  }

  protected queue(id: string, spec: QueueSpec = {}): Queue {
    const names = this.#names(id);
    return this.#declare(queuePlan(names, spec, this.#units(names)));
  }

  protected table(id: string, spec: TableSpec = {}): Table {
    const names = this.#names(id);
    return this.#declare(tablePlan(names, spec, this.#units(names)));
  }

  protected stream(id: string, spec: StreamSpec = {}): Stream {
    const names = this.#names(id);
    return this.#declare(streamPlan(names, spec, this.#units(names)));
  }

  protected volume(id: string, spec: VolumeSpec = {}): Volume {
    const names = this.#names(id);
    return this.#declare(volumePlan(names, spec, this.#units(names)));
  }

  protected secret(id: string, spec: SecretSpec): Secret {
    const names = this.#names(id);
    return this.#declare(secretPlan(names, spec, this.#units(names)));
  }

  protected schedule(id: string, spec: ScheduleSpec): Schedule {
    const names = this.#names(id);
    return this.#declare(schedulePlan(names, spec, this.#units(names)));
  }

  protected monitor(id: string, spec: MonitorSpec): Monitor {
    const names = this.#names(id);
    return this.#declare(monitorPlan(names, spec, this.#units(names)));
  }

  protected function<H extends Handler<never, never, never, unknown, never>>(
    id: string,
    spec: FunctionSpec<H>,
  ): FunctionPart<PayloadOf<H>, ResultOf<H>> {
    return this.#function(id, spec as AnyFunctionSpec) as FunctionPart<PayloadOf<H>, ResultOf<H>>;
  }

  /** Steps that functions and tasks do, written down once for every cloud. */
  protected workflow<Input = unknown, Output = unknown>(id: string, spec: WorkflowSpec<Input, Output>): Workflow {
    const names = this.#names(id);
    return this.#declare(workflowPlan(names, spec, this.#units(names), this.#unread));
  }

  /**
   * A task and its functions: `<id>-work` runs it, `<id>-dispatch` turns events into submits.
   *
   * @param decided behavior the construct decides itself, over what the spec says
   */
  protected task<H extends Handler<never, never, never, unknown, never>>(
    id: string,
    spec: TaskSpec<H>,
    decided: TaskBehavior = {},
  ): TaskPart {
    const names = this.#names(id);
    const { plan, worker, dispatcher, destinations } = taskPlan(
      names,
      { ...(spec as AnyTaskSpec), ...decided },
      this.#units(names),
    );
    this.#function(`${id}-work`, worker);
    for (const [suffix, destination] of destinations) this.#function(`${id}-${suffix}`, destination);
    const task = this.#declare(plan);
    this.#function(`${id}-dispatch`, dispatcher(task));
    return task;
  }

  /** Checks all that was declared, with what the construct itself found wrong, then builds it. */
  protected build(problems: readonly Problem[] = []): void {
    const parts = this.#declared.splice(0);
    const found = [...problems, ...this.#unread.splice(0), ...this.cloud.check(parts)];
    const gathered = evaluation();
    if (gathered) gathered.problems.push(...found);
    else refuse(found);
    if (found.length > 0) return;
    for (const part of parts) part.built = buildPart(this.cloud, part, this);
    this.registerOutputs(Object.fromEntries(parts.map((part) => [part.name, part.id])));
  }

  /** The function with its schedules, and the programs it calls. */
  #function(id: string, given: AnyFunctionSpec): FunctionPart {
    const spec = this.#withPrograms(id, given);
    const sources = [spec.when ?? []]
      .flat()
      .map((source, index, { length }) =>
        this.#source(length > 1 ? `${id}-schedule-${index + 1}` : `${id}-schedule`, source),
      );
    const names = this.#names(id);
    const links = Object.values(spec.links ?? {});
    this.cloud.link(links.flatMap(({ part, keys }) => (keys ? [part, keys] : [part])));
    return this.#declare(functionPlan(names, spec, sources, this.#units(names)));
  }

  /** A program is a function of its own that the handler may call. */
  #withPrograms(id: string, spec: AnyFunctionSpec): AnyFunctionSpec {
    const programs = Object.entries(spec.code ?? {}).filter((entry): entry is [string, Program] => isProgram(entry[1]));
    if (programs.length === 0) return spec;
    const links = programs.map(([name, program]) => {
      const names = this.#names(`${id}-${name}`);
      return [programLink(name), invoke(this.#declare(programPlan(names, program, this.#units(names))))] as const;
    });
    return { ...spec, links: { ...spec.links, ...Object.fromEntries(links) } };
  }

  /** A source's plan; a bare timing gets a schedule part of its own. */
  #source(id: string, source: Source): SourcePlan {
    return (
      source.plan ?? {
        type: "schedule.fired",
        schedule: this.schedule(id, { timing: source as Source<ScheduleFired> }).name,
      }
    );
  }

  #declare<Plan extends PartPlan>(plan: Plan): Part<Plan> {
    if (this.cloud.program.some(({ parts }) => parts.has(plan.name)))
      throw new Error(`${plan.name}: there is a part of this name already; names are unique in a stack`);
    const part = new Part(plan, this.cloud);
    this.cloud.parts.set(plan.name, part);
    this.#declared.push(part);
    return part;
  }

  #units({ name }: PartNames): Units {
    return new Units(name, this.#unread);
  }

  #names(id: string): PartNames {
    return {
      name: `${this.plan.name}-${id}`,
      stem: `${this.plan.id}-${id}`,
      construct: this.plan.name,
      cloud: this.cloud.plan.name,
    };
  }
}

/** Where only the plan is wanted, a part is found by its name: no account is asked, nothing is bundled. */
const buildPart = <Kind extends PartKind>(cloud: Cloud, part: Part<PlanOf<Kind>>, parent: Construct): Built =>
  evaluation()?.builds === false
    ? { id: pulumi.output(part.name), address: { name: pulumi.output(part.name) }, resources: {} }
    : cloud.driver.build[part.kind as Kind](cloud.scope(part, parent), part.plan);
