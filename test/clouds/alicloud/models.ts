/** A model of the vendor's client: what its fields are called on the wire, and what they are. */
interface Model {
  names(): Readonly<Record<string, string>>;
  types(): Readonly<Record<string, unknown>>;
}

/** Names in the value that the vendor's client's model of it does not have; free maps and texts are left out. */
export function unknownNames(model: unknown, value: unknown, path = ""): readonly string[] {
  if (typeof model !== "function" || typeof value !== "object" || value === null || Array.isArray(value)) return [];
  const { names, types } = model as unknown as Model;
  const [wire, kinds] = [names.call(model), types.call(model)];
  return Object.entries(value).flatMap(([name, inner]) => {
    const own = Object.keys(wire).find((one) => wire[one] === name);
    return own === undefined ? [path + name] : unknownNames(kinds[own], inner, `${path}${name}.`);
  });
}
