import { RAM_ACTIONS } from "../../../lib/clouds/alicloud/deploy/permissions.ts";
import { testCloud } from "../conformance.ts";
import { deploy, inputsOf } from "./stack.ts";

interface Statement {
  readonly Action: readonly string[];
}

testCloud({
  name: "Alibaba Cloud",
  deploy: (declare, { transform } = {}) =>
    deploy(declare, {
      kmsInstance: { id: "kst-1", key: "key-1" },
      existing: { network: { vpc: "vpc-1", vswitch: "vsw-1", securityGroup: "sg-1" } },
      ...(transform && { transform }),
    }),
  actions: RAM_ACTIONS,
  around: { "secret.read": ["kms:Decrypt"] },
  verbsOf(resources, name) {
    const { policyDocument } = inputsOf(resources, "Policy", `${name}-role-policy`);
    return (JSON.parse(policyDocument) as { Statement: Statement[] }).Statement.flatMap(({ Action }) => Action);
  },
  environmentOf: (resources, name) => inputsOf(resources, "V3Function", name).environmentVariables,
  labelsOf: ({ inputs }) => inputs.tags as Readonly<Record<string, string>> | undefined,
  vaults: ["kms/secret:Secret"],
});
