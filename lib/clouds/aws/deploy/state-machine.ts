/** What every task's state machine is made of. */
interface MachineSpec {
  /** Name or ARN of the keeper's function. */
  readonly keeper: string;
  /** Seconds an attempt may take. */
  readonly timeout: number;
  /** Seconds it gets to end by itself. */
  readonly grace: number;
}

/** Attempts run on Lambda. */
export interface LambdaMachine extends MachineSpec {
  readonly platform: "lambda";
  /** Name or ARN of the worker's function. */
  readonly worker: string;
}

/** Attempts run as Fargate tasks. */
export interface FargateMachine extends MachineSpec {
  readonly platform: "fargate";
  /** ARN or name. */
  readonly cluster: string;
  /** ARN, or family and revision. */
  readonly taskDefinition: string;
  /** The container of the task definition that does the work. */
  readonly container: string;
  readonly subnets: readonly string[];
  readonly securityGroups: readonly string[];
  /** Whether tasks get an address of their own in the internet: in a public subnet they reach nothing without. @default they do not */
  readonly publicIp?: boolean;
  /** Seconds without a word after which a container counts as lost; its start, with the image's pull, has to fit. @default 300 */
  readonly heartbeat?: number;
}

/** The core asks what became of an attempt that is that much over its time, in seconds; the service ends it then. */
const MARGIN = 30;

const HEARTBEAT = 300;

/**
 * The definition of a task's state machine, in Amazon States Language with JSONPath. Its input is an attempt to work on, or
 * `{ "millrace": "wake", "seconds": n }`: have the keeper come round in so many seconds.
 *
 *     Kind ──wake──▶ Delay ──▶ Wake (keeper)
 *       └─attempt──▶ Work ──▶ Ended ──▶ Done, or Failed with the outcome's error
 *                      └─no outcome──▶ Tell (keeper) ──▶ Broken
 *
 * An attempt reports its own end to the task's table. What its process could not report, because it was ended or never
 * began, the keeper is told. Failures of the work are not tried again here: that is the task's own.
 *
 * @see https://states-language.net/spec.html
 */
export function stateMachine(spec: LambdaMachine | FargateMachine): object {
  const { keeper } = spec;
  return {
    Comment: "Attempts of a task, and delays until its keeper is to look after it",
    QueryLanguage: "JSONPath",
    StartAt: "Kind",
    States: {
      Kind: {
        Type: "Choice",
        Choices: [{ Variable: "$.millrace", StringEquals: "wake", Next: "Delay" }],
        Default: "Work",
      },
      Delay: { Type: "Wait", SecondsPath: "$.seconds", Next: "Wake" },
      Wake: {
        ...invoke(keeper, { millrace: "schedule", schedule: "wake", "time.$": "$$.State.EnteredTime" }),
        Retry: [AGAIN],
        End: true,
      },
      ...(spec.platform === "lambda" ? lambdaStates(spec) : fargateStates(spec)),
      Ended: {
        Type: "Choice",
        Choices: [{ Variable: "$.error.kind", IsPresent: true, Next: "Failed" }],
        Default: "Done",
      },
      Done: { Type: "Succeed" },
      Failed: { Type: "Fail", ErrorPath: "$.error.kind", CausePath: "$.error.message" },
      Tell: {
        ...invoke(keeper, {
          requestPayload: { "task.$": "$.task", "id.$": "$.id", "attempt.$": "$.attempt" },
          "responsePayload.$": "$.error",
        }),
        Retry: [AGAIN],
        // A keeper that cannot be called comes round by itself, and reads this execution's end.
        Catch: [{ ErrorEquals: ["States.ALL"], ResultPath: "$.unheard", Next: "Broken" }],
        ResultPath: null,
        Next: "Broken",
      },
      // Not the error itself: names of the service's own are not to be thrown by a machine.
      Broken: { Type: "Fail", Error: "Millrace.Broken", CausePath: "$.error.Error" },
    },
  };
}

/** https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html */
const invoke = (name: string, payload: object) => ({
  Type: "Task",
  Resource: "arn:aws:states:::lambda:invoke",
  Parameters: { FunctionName: name, Payload: payload },
});

/** The keeper may be called twice. */
const AGAIN = {
  ErrorEquals: ["States.ALL"],
  IntervalSeconds: 2,
  MaxAttempts: 4,
  BackoffRate: 2,
  JitterStrategy: "FULL",
};

/**
 * Lambda did not take the call. One that it gave up waiting for is not among them: the function may still run.
 *
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception
 */
const REFUSED = {
  ErrorEquals: [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
  ],
  IntervalSeconds: 1,
  MaxAttempts: 6,
  BackoffRate: 2,
  JitterStrategy: "FULL",
};

/**
 * Fargate did not take the container: there are too many starts at once, or no room at the moment. An address or a
 * subnet that it was too busy to look up counts as a wrong parameter. No container runs then.
 *
 * @see https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html
 * @see https://github.com/cdklabs/construct-hub/pull/415
 */
const NO_ROOM = {
  ErrorEquals: ["AmazonECS.Unknown", "ECS.AmazonECSException", "ECS.InvalidParameterException"],
  IntervalSeconds: 5,
  MaxAttempts: 6,
  BackoffRate: 2,
  JitterStrategy: "FULL",
};

const TELL = { ErrorEquals: ["States.ALL"], ResultPath: "$.error", Next: "Tell" };

const lambdaStates = ({ worker, timeout, grace }: LambdaMachine) => ({
  Work: {
    Type: "Task",
    Resource: "arn:aws:states:::lambda:invoke",
    Parameters: { FunctionName: worker, "Payload.$": "$" },
    OutputPath: "$.Payload",
    TimeoutSeconds: timeout + grace + MARGIN,
    Retry: [REFUSED],
    Catch: [TELL],
    Next: "Ended",
  },
});

/**
 * The attempt travels in base 64: container overrides are limited to 8,192 characters, and quotes in quotes would grow.
 *
 * @see https://docs.aws.amazon.com/step-functions/latest/dg/connect-ecs.html
 * @see https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
 */
function fargateStates(spec: FargateMachine) {
  const { cluster, taskDefinition, container, subnets, securityGroups, timeout, grace } = spec;
  const { publicIp = false, heartbeat = HEARTBEAT } = spec;
  return {
    Work: {
      Type: "Task",
      Resource: "arn:aws:states:::ecs:runTask.waitForTaskToken",
      Parameters: {
        LaunchType: "FARGATE",
        Cluster: cluster,
        TaskDefinition: taskDefinition,
        PropagateTags: "TASK_DEFINITION",
        NetworkConfiguration: {
          AwsvpcConfiguration: {
            Subnets: subnets,
            SecurityGroups: securityGroups,
            AssignPublicIp: publicIp ? "ENABLED" : "DISABLED",
          },
        },
        Overrides: {
          ContainerOverrides: [
            {
              Name: container,
              Environment: [
                { Name: "MILLRACE_ATTEMPT", "Value.$": "States.Base64Encode(States.JsonToString($))" },
                { Name: "MILLRACE_TASK_TOKEN", "Value.$": "$$.Task.Token" },
                { Name: "MILLRACE_HEARTBEAT", Value: String(heartbeat) },
              ],
            },
          ],
        },
      },
      HeartbeatSeconds: heartbeat,
      TimeoutSeconds: Math.max(timeout + grace + MARGIN, heartbeat + 1),
      Retry: [NO_ROOM],
      Catch: [{ ...TELL, ErrorEquals: ["States.HeartbeatTimeout"], Next: "Lost" }, TELL],
      Next: "Ended",
    },
    Lost: {
      Type: "Pass",
      Result: {
        Error: "Millrace.Lost",
        Cause: `nothing was heard of the container for ${heartbeat} s: it did not start, or was killed, as when it runs out of memory`,
      },
      ResultPath: "$.error",
      Next: "Tell",
    },
  };
}
