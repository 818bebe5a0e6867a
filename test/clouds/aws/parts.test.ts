import { IAM_ACTIONS, UNSCOPED } from "../../../lib/clouds/aws/deploy/permissions.ts";
import { testCloud } from "../conformance.ts";
import { deploy, inputsOf, ofType } from "./stack.ts";

interface Statement {
  readonly Action: readonly string[];
}

testCloud({
  name: "AWS",
  deploy: (declare, { transform } = {}) => deploy(declare, { ...(transform && { transform }) }),
  actions: IAM_ACTIONS,
  around: { "volume.read": UNSCOPED.network },
  verbsOf(resources, name) {
    const { role } = inputsOf(resources, "Function", name);
    const roleName = String(role).split("/").at(-1);
    const policies = ofType(resources, "RolePolicy").filter(({ inputs }) => inputs.role === roleName);
    return policies.flatMap(({ inputs }) =>
      (JSON.parse(inputs.policy as string) as { Statement: Statement[] }).Statement.flatMap(({ Action }) => Action),
    );
  },
  environmentOf: (resources, name) => inputsOf(resources, "Function", name).environment.variables,
  labelsOf: ({ inputs }) => inputs.tags as Readonly<Record<string, string>> | undefined,
  vaults: ["secretsmanager/secretVersion:SecretVersion"],
});
