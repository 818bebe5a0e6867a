import { GetSecretValueCommand, SecretsManagerClient } from "@aws-sdk/client-secrets-manager";
import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { SecretReader } from "../../../runtime/ports.ts";
import { type AwsWorld, clientSettings } from "./account.ts";
import { ask } from "./ask.ts";

/** A secret of Secrets Manager; asked for once an invocation. */
export function port(address: LinkAddress, world: AwsWorld): SecretReader {
  let value: Promise<string> | undefined;
  return {
    value: () => {
      value ??= getSecretValue(address, world);
      return value;
    },
  };
}

/** A secret that is bytes is taken for UTF-8. https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html */
async function getSecretValue(address: LinkAddress, world: AwsWorld): Promise<string> {
  const client = new SecretsManagerClient(clientSettings(world, field(address, "region"), address.endpoint));
  const command = new GetSecretValueCommand({ SecretId: field(address, "secret") });
  const { SecretString, SecretBinary = new Uint8Array() } = await ask(`secret ${address.part}`, world, (options) =>
    client.send(command, options),
  );
  return SecretString ?? Buffer.from(SecretBinary).toString("utf8");
}
