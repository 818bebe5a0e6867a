import type { Mapping, Reference, TaskStep } from "../../../shared/workflow/definition.ts";
import { AGAIN, FINAL } from "./flow-errors.ts";
import { type Around, catching, type FlowWriter, placed } from "./flow-writer.ts";

/**
 * A run is submitted and then looked at, less and less often: that needs nobody who would tell of its end, passes the
 * task's own admission, and holds no function meanwhile.
 */
export function taskStates(writer: FlowWriter, step: TaskStep, around: Around, next: string): string {
  const { name, attempts } = step;
  const { states, failure } = around;
  const { path } = writer.data.home(step);
  const tries = `$.tries.${writer.data.key(name)}`;
  const broken = writer.pass(states, `${name}: failed`, {
    InputPath: `${path}.Payload.output.error`,
    ResultPath: failure.path,
    Next: failure.label(),
  });
  const went = writer.label(`${name}: went`);
  const pause = writer.label(`${name}: pause`);
  const look = writer.label(`${name}: look`);
  const ask = (input: Mapping, more: object) => ({
    ...placed(name, around),
    ...writer.invoke(
      writer.targets.tasks[step.task],
      writer.call({ ...step, attempts: 1 }, around, writer.input(input, more)),
    ),
    ResultSelector: { "Payload.$": "$.Payload" },
    ResultPath: path,
    Retry: [{ ErrorEquals: FINAL, MaxAttempts: 0 }, AGAIN],
    ...catching(failure),
    Next: went,
  });
  const state = `${path}.Payload.output.state`;
  states[look] = ask({ verb: "look", id: step.id, looks: LOOKS }, { "looks.$": `${path}.Payload.output.looks` });
  states[pause] = { Type: "Wait", SecondsPath: `${path}.Payload.output.seconds`, Next: look };
  states[name] = ask(
    { verb: "submit", id: step.id, input: step.input, attempt: attempts === 1 ? 1 : ATTEMPT },
    attempts === 1 ? {} : { "attempt.$": `${tries}.attempt` },
  );
  states[went] = {
    Type: "Choice",
    Choices: [
      { Variable: state, StringEquals: "succeeded", Next: next },
      {
        Variable: state,
        StringEquals: "failed",
        Next: attempts === 1 ? broken : retried(writer, step, around, { tries, broken }),
      },
    ],
    Default: pause,
  };
  if (attempts === 1) return name;
  return writer.pass(states, `${name}: tries`, {
    Result: { attempt: 1, delay: Math.max(1, Math.round(step.backoff.first)) },
    ResultPath: tries,
    Next: name,
  });
}

/** Between two attempts of a task's run: the time doubles, whatever its factor, since the language does not multiply. */
function retried(
  writer: FlowWriter,
  { name, attempts, backoff }: TaskStep,
  { states }: Around,
  { tries, broken }: { readonly tries: string; readonly broken: string },
): string {
  const error = `${tries.replace("$.tries.", "$.steps.")}.Payload.output.error.kind`;
  const wait = writer.label(`${name}: backoff`);
  states[wait] = { Type: "Wait", SecondsPath: `${tries}.delay`, Next: name };
  const longest = writer.pass(states, `${name}: longest`, {
    Parameters: { "attempt.$": `${tries}.attempt`, delay: Math.max(1, Math.round(backoff.longest)) },
    ResultPath: tries,
    Next: wait,
  });
  const bounded = writer.label(`${name}: bound`);
  states[bounded] = {
    Type: "Choice",
    Choices: [{ Variable: `${tries}.delay`, NumericGreaterThan: backoff.longest, Next: longest }],
    Default: wait,
  };
  const again = writer.pass(states, `${name}: again`, {
    Parameters: {
      "attempt.$": `States.MathAdd(${tries}.attempt, 1)`,
      "delay.$": `States.MathAdd(${tries}.delay, ${tries}.delay)`,
    },
    ResultPath: tries,
    Next: bounded,
  });
  const helps = writer.label(`${name}: try again`);
  states[helps] = {
    Type: "Choice",
    Choices: [
      { Variable: `${tries}.attempt`, NumericGreaterThanEquals: attempts, Next: broken },
      { Or: FINAL.map((StringEquals) => ({ Variable: error, StringEquals })), Next: broken },
    ],
    Default: again,
  };
  return helps;
}

const LOOKS = { $: "looks" } as unknown as Reference;
const ATTEMPT = { $: "attempt" } as unknown as Reference;
