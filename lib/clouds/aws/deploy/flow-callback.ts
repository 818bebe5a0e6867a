import type { CallbackStep } from "../../../shared/workflow/definition.ts";
import { placeField } from "./flow-data.ts";
import { AGAIN } from "./flow-errors.ts";
import { type Around, type FlowWriter, placed, reached, type States, type Write } from "./flow-writer.ts";

/**
 * One branch waits, the other asks. What is waited for lies in a row of the table, under the callback's address: a token,
 * unless the answer is there already.
 *
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
 */
export function callbackStates(writer: FlowWriter, step: CallbackStep, around: Around, next: string): string {
  const { name, input } = step;
  const address = placeField("callback", ["", { number: "$.run" }, "/", ...around.place, name]);
  const asked = `$.asks.${writer.data.key(name)}`;
  around.states[name] = {
    ...placed(name, around),
    Type: "Parallel",
    Branches: [answered(writer, step, asked), asking(writer, step, around, asked)],
    ResultSelector: { "output.$": "$[0]" },
    ...writer.composite(step, around),
    Next: next,
  };
  const write: Write = { path: asked, shape: (fields) => fields };
  return writer.fill(`${name}: question`, { input }, Object.fromEntries([address]), around, { label: name }, write);
}

/** Waits, unless whoever is asked was quicker; then reads the answer, and forgets it. */
function answered(writer: FlowWriter, { name, timeout }: CallbackStep, asked: string): object {
  const states: States = {};
  const failure = writer.failing(states, `${name}: fail`);
  const row = {
    TableName: writer.targets.table,
    Key: { pk: { S: writer.targets.partition }, sk: { "S.$": `${asked}.callback` } },
  };
  const output = writer.pass(states, `${name}: output`, { OutputPath: "$.answer.said.output", End: true });
  const wrong = writer.pass(states, `${name}: refused`, {
    InputPath: "$.answer.said.error",
    ResultPath: failure.path,
    Next: failure.label(),
  });
  const which = writer.label(`${name}: answered`);
  states[which] = {
    Type: "Choice",
    Choices: [{ Variable: "$.answer.said.status", StringEquals: "succeeded", Next: output }],
    Default: wrong,
  };
  const read = writer.pass(states, `${name}: read`, {
    Parameters: { "said.$": "States.StringToJson($.answer.text)" },
    ResultPath: "$.answer",
    Next: which,
  });
  // Whoever asks again under this address asks anew.
  const forgotten = writer.label(`${name}: forget`);
  states[forgotten] = {
    Type: "Task",
    Resource: "arn:aws:states:::dynamodb:deleteItem",
    Parameters: row,
    ResultPath: null,
    Retry: [AGAIN],
    Next: read,
  };
  const early = writer.label(`${name}: early`);
  states[early] = {
    Type: "Task",
    Resource: "arn:aws:states:::dynamodb:getItem",
    Parameters: { ...row, ConsistentRead: true },
    ResultSelector: { "text.$": "$.Item.answer.S" },
    ResultPath: "$.answer",
    Retry: [AGAIN],
    Next: forgotten,
  };
  const waits = writer.label(`${name}: answer`);
  states[waits] = {
    Type: "Task",
    Resource: "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken",
    Parameters: {
      ...row,
      UpdateExpression: "SET #token = :token, #ttl = :until REMOVE #answer, #told",
      ConditionExpression: "attribute_not_exists(#answer) OR #told = :yes",
      ExpressionAttributeNames: { "#token": "token", "#ttl": "ttl", "#answer": "answer", "#told": "told" },
      ExpressionAttributeValues: {
        ":token": { "S.$": "$$.Task.Token" },
        ":until": { "N.$": UNTIL },
        ":yes": { BOOL: true },
      },
    },
    ResultSelector: { "text.$": "$.Answer" },
    ResultPath: "$.answer",
    ...(timeout !== undefined && { TimeoutSeconds: timeout }),
    Catch: [{ ErrorEquals: ANSWERED, ResultPath: null, Next: early }],
    Next: read,
  };
  return { StartAt: waits, States: reached(waits, states) };
}

function asking(writer: FlowWriter, { name, ask }: CallbackStep, { place }: Around, asked: string): object {
  const label = writer.label(`${name}: ask`);
  const call = {
    millrace: "step",
    "run.$": "$.run",
    ...Object.fromEntries([placeField("step", [...place, name])]),
    attempt: 1,
    attempts: 1,
    "input.$": asked,
  };
  if (ask.kind === "queue") {
    const Parameters = { QueueUrl: writer.targets.queues[ask.name], "MessageBody.$": asked };
    const state = {
      Type: "Task",
      Resource: "arn:aws:states:::sqs:sendMessage",
      Parameters,
      Retry: [AGAIN],
      End: true,
    };
    return { StartAt: label, States: { [label]: state } };
  }
  const state = { ...writer.invoke(writer.targets.functions[ask.name], call), Retry: [AGAIN], End: true };
  return { StartAt: label, States: { [label]: state } };
}

/** Years in which a step may begin to wait. */
const [FIRST_YEAR, LAST_YEAR] = [2025, 2099];

/** When each of them begins with two years in between, in seconds since 1970: a run lasts a year at most, and is known for 90 days. */
const ENDS = Array.from({ length: LAST_YEAR - FIRST_YEAR + 1 }, (_, index) => Date.UTC(FIRST_YEAR + index + 3) / 1000);

/**
 * When the row of a step that nobody answers is forgotten, in seconds since 1970. The language knows the time as a text
 * and cannot calculate with it: by the year alone it finds a time that is late enough.
 *
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
 */
const YEAR = "States.StringToJson(States.ArrayGetItem(States.StringSplit($$.State.EnteredTime, '-'), 0))";
const UNTIL = `States.Format('{}', States.ArrayGetItem(States.StringToJson('[${ENDS}]'), States.MathAdd(${YEAR}, -${FIRST_YEAR})))`;

/** The condition that there is no answer yet does not hold. */
const ANSWERED = ["DynamoDb.ConditionalCheckFailedException", "DynamoDB.ConditionalCheckFailedException"];
