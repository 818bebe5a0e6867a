import type {
  BucketReader,
  Context,
  FunctionInvoked,
  QueueSender,
  SecretReader,
  TableReader,
  VolumeMount,
} from "../../../../lib/runtime/index.ts";

interface Links {
  readonly uploads: BucketReader;
  readonly notes: QueueSender;
  readonly rows: TableReader;
  readonly token: SecretReader;
  readonly files: VolumeMount;
}

/** Says how long the secret is. */
export async function handler(_event: FunctionInvoked, { links }: Context<Links>) {
  return { length: (await links.token.value()).length };
}
