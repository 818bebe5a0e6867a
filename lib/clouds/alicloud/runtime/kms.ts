import { field, type LinkAddress } from "../../../runtime/deployment.ts";
import type { SecretReader } from "../../../runtime/ports.ts";
import type { AlicloudWorld } from "./account.ts";
import { textOf } from "./http.ts";
import { callOpenApi, openApiError } from "./open-api.ts";

/** A secret of Key Management Service; asked for once an invocation. */
export function port(address: LinkAddress, world: AlicloudWorld): SecretReader {
  let value: Promise<string> | undefined;
  return {
    value: () => {
      value ??= getSecretValue(address, world);
      return value;
    },
  };
}

interface SecretValue {
  readonly SecretData: string;
  readonly SecretDataType: "text" | "binary";
}

/** A secret that is bytes is taken for UTF-8. https://www.alibabacloud.com/help/en/kms/key-management-service/developer-reference/api-getsecretvalue */
async function getSecretValue(address: LinkAddress, world: AlicloudWorld): Promise<string> {
  const answer = await callOpenApi(
    {
      action: "GetSecretValue",
      version: "2016-01-20",
      method: "POST",
      origin: address.endpoint ?? `https://kms.${field(address, "region")}.aliyuncs.com`,
      path: "/",
      query: { SecretName: field(address, "secret") },
    },
    world,
  );
  if (answer.status !== 200) throw await openApiError(answer, `secret ${address.part}`);
  const { SecretData, SecretDataType } = JSON.parse(await textOf(answer)) as SecretValue;
  return SecretDataType === "binary" ? Buffer.from(SecretData, "base64").toString("utf8") : SecretData;
}
