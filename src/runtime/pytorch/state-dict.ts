import { quote } from "../quote.ts";
import { PickleTuple, TensorRef, type Fail, type PickleValue } from "./pickle-values.ts";

/** A tree that says much with little, by naming the same branch again and again, is not followed to its end. */
const LIMITS = { depth: 32, values: 1 << 17, nameChars: 1024 } as const;

/**
 * The tensors of a pickled object, named by the way to them: `weight`, or `state_dict.weight` in a checkpoint that
 * holds more than weights. Numbers, texts and the like are left out.
 * @throws by `fail` when two have one name, or containers nest endlessly
 */
export function tensorsIn(root: PickleValue, fail: Fail): Map<string, TensorRef> {
  const tensors = new Map<string, TensorRef>();
  let numValues = 0;
  const visit = (value: PickleValue, name: string, depth: number): void => {
    if (++numValues > LIMITS.values) fail(`it unfolds to more than ${LIMITS.values} values`);
    if (depth > LIMITS.depth) fail(`its containers nest deeper than ${LIMITS.depth} levels`);
    if (value instanceof TensorRef) {
      if (name.length > LIMITS.nameChars) fail(`it has a tensor named ${quote(name)}: too long`);
      if (tensors.has(name)) fail(`it has two tensors named ${quote(name)}`);
      tensors.set(name, value);
      return;
    }
    const items =
      value instanceof Map
        ? value
        : value instanceof PickleTuple
          ? value.items
          : Array.isArray(value)
            ? value
            : [];
    for (const [key, item] of items.entries()) {
      if (isContainer(item)) visit(item, name === "" ? String(key) : `${name}.${key}`, depth + 1);
    }
  };
  visit(root, "", 0);
  return tensors;
}

function isContainer(value: PickleValue): boolean {
  return (
    value instanceof Map || value instanceof PickleTuple || Array.isArray(value) || value instanceof TensorRef
  );
}
