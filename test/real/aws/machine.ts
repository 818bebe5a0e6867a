/** A state as far as it is changed here. */
interface State {
  readonly Type: string;
  readonly Branches?: readonly Machine[];
  readonly ItemProcessor?: Machine;
  readonly Resource?: string;
  readonly SecondsPath?: string;
  readonly Parameters?: {
    readonly FunctionName?: string;
    readonly Payload?: unknown;
    readonly "Payload.$"?: string;
    readonly Overrides?: unknown;
  };
}

interface Machine {
  readonly States: Readonly<Record<string, State>>;
}

/** What a state has told of the work it waits for. */
export interface Order {
  readonly token: string;
  /** A function to call, with what. */
  readonly function?: string;
  readonly payload?: unknown;
  /** Or a container to start. */
  readonly overrides?: {
    readonly ContainerOverrides: readonly [
      { readonly Name: string; readonly Environment: readonly { readonly Name: string; readonly Value: string }[] },
    ];
  };
}

/**
 * The same state machine, for a service that has neither functions nor containers: where a state would call one, it
 * sends a message and waits for its token to come back. All else is executed as it is written.
 *
 * @param wait seconds that a `Wait` lasts instead of its own, where the rest of the world goes quicker
 */
export const executable = (machine: object, QueueUrl: string, wait?: number): string =>
  JSON.stringify(executed(machine as Machine, QueueUrl, wait));

function executed({ States, ...rest }: Machine, QueueUrl: string, wait?: number): Machine {
  const states = Object.entries(States).map(([name, { SecondsPath, Branches, ItemProcessor, ...state }]) => [
    name,
    {
      ...ordered(state, QueueUrl),
      ...(SecondsPath !== undefined && (wait === undefined ? { SecondsPath } : { Seconds: wait })),
      ...(Branches && { Branches: Branches.map((branch) => executed(branch, QueueUrl, wait)) }),
      ...(ItemProcessor && { ItemProcessor: executed(ItemProcessor, QueueUrl, wait) }),
    },
  ]);
  return { ...rest, States: Object.fromEntries(states) as Machine["States"] };
}

/** The service does these itself. */
const OWN = /^arn:aws:states:::(sqs|dynamodb|aws-sdk):/;

function ordered(state: State, QueueUrl: string): State {
  const { Resource = "", Parameters = {} } = state;
  if (state.Type !== "Task" || OWN.test(Resource)) return state;
  const { FunctionName, Overrides, ...payload } = Parameters;
  const isLambda = Resource === "arn:aws:states:::lambda:invoke";
  if (!isLambda && Resource !== "arn:aws:states:::ecs:runTask.waitForTaskToken") {
    throw new Error(`nobody here does the work of ${Resource}`);
  }
  const what = isLambda
    ? {
        function: FunctionName,
        ...("Payload.$" in payload ? { "payload.$": payload["Payload.$"] } : { payload: payload.Payload }),
      }
    : { overrides: Overrides };
  return {
    ...state,
    Resource: "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
    Parameters: { QueueUrl, MessageBody: { ...what, "token.$": "$$.Task.Token" } } as never,
  };
}
