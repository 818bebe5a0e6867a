import { testCloud } from "../conformance.ts";
import { deploy, inputsOf } from "./stack.ts";

interface Container {
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
}

testCloud({
  name: "Kubernetes",
  deploy: (declare, { transform } = {}) => deploy(declare, { storageClass: "shared", ...(transform && { transform }) }),
  environmentOf(resources, name) {
    const { containers } = inputsOf(resources, "Deployment", name).spec.template.spec as {
      readonly containers: readonly Container[];
    };
    const env = containers.flatMap(({ env = [] }) => env);
    return Object.fromEntries(env.map(({ name, value }) => [name, value ?? ""]));
  },
  labelsOf({ inputs }) {
    const { metadata } = inputs as { readonly metadata?: { readonly labels?: Readonly<Record<string, string>> } };
    return metadata?.labels;
  },
  vaults: ["core/v1:Secret"],
});
