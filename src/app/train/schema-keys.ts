/** Every key of a configuration's schema, with what is said about it. */
import { z } from "zod";

export interface SchemaKey {
  /** With dots between levels; items of lists have no number. */
  readonly path: string;
  /** Kind of value: `number`, `adamw or muon` … */
  readonly type: string;
  /** JSON of the default; null for a key that has to be given. */
  readonly default: string | null;
  readonly description: string;
  readonly source: string;
  /** Whether a resumed run may change it. */
  readonly isFree: boolean;
  /** Whether other keys lie below it. */
  readonly isGroup: boolean;
}

/** The part of JSON Schema that zod makes of our schemas. */
interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly description?: string;
  readonly source?: string;
  readonly free?: boolean;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

/** Keys in the order of the schema, each group before its members. */
export function* schemaKeys(schema: z.ZodObject): Generator<SchemaKey> {
  yield* keysOf(z.toJSONSchema(schema, { io: "input" }) as JsonSchema, "");
}

function* keysOf(schema: JsonSchema, prefix: string): Generator<SchemaKey> {
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const path = prefix + name;
    const inner = property.properties ? property : property.items?.properties ? property.items : null;
    const isRequired = schema.required?.includes(name) ?? false;
    yield {
      path,
      type: typeOf(property),
      default: isRequired ? null : JSON.stringify(property.default ?? null),
      description: property.description ?? "",
      source: property.source ?? "",
      isFree: property.free ?? false,
      isGroup: inner !== null,
    };
    if (inner) yield* keysOf(inner, `${path}.`);
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  integer: "whole number",
  string: "text",
  array: "list",
  object: "group",
};

function typeOf(schema: JsonSchema): string {
  if (schema.const !== undefined) return String(schema.const);
  if (schema.enum) return schema.enum.join(" or ");
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(" or ");
  if (schema.items) return `list of ${typeOf(schema.items)}s`;
  const types = [schema.type ?? "any"].flat();
  return types.map((type) => TYPE_NAMES[type] ?? type).join(" or ");
}
