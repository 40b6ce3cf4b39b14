// @ts-check
/** The fields of a manifest by its JSON Schema: types, bounds and defaults. Unknown fields are left out. */

import { toJson } from "../text.mjs";
import { DEFINITIONS } from "./schema.mjs";

/** @typedef {Record<string, any>} Schema */

/** @type {Record<string, (value: any) => boolean>} */
const KINDS = {
  string: (value) => typeof value === "string",
  integer: (value) => typeof value === "bigint",
  number: (value) => typeof value === "bigint" || typeof value === "number",
  boolean: (value) => typeof value === "boolean",
  null: (value) => value === null,
  array: Array.isArray,
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
};

/** @type {Record<string, (value: any, bound: any) => boolean>} */
const BOUNDS = {
  enum: (value, known) => known.includes(value),
  pattern: (value, pattern) => new RegExp(pattern, "u").test(value),
  minimum: (value, least) => value >= least,
  exclusiveMaximum: (value, most) => value < most,
  exclusiveMinimum: (value, least) => value > least,
  minItems: (value, least) => value.length >= least,
  maxItems: (value, most) => value.length <= most,
};

/**
 * Read a value, an integer of it as a number where a number holds it.
 * @param {Schema} schema
 * @param {any} value  as `parseExactJson` gives it
 * @param {string} place  for messages
 * @param {string[]} offences  to which errors are appended
 * @returns {any}
 */
export function readFields(schema, value, place, offences) {
  if (schema.$ref) return readFields(definition(schema.$ref), value, place, offences);
  if (schema.anyOf) return readAny(schema.anyOf, value, place, offences);
  if (!KINDS[schema.type](value)) {
    offences.push(`${place}=${shown(value)} is not of type ${schema.type}`);
    return undefined;
  }
  for (const [name, fits] of Object.entries(BOUNDS)) {
    if (name in schema && !fits(value, schema[name])) {
      offences.push(`${place}=${shown(value)} does not fit ${name} ${toJson(schema[name])}`);
    }
  }
  if (schema.type === "array") {
    const { items, prefixItems = value.map(() => items) } = schema;
    return prefixItems
      .slice(0, value.length)
      .map((/** @type {Schema} */ kind, /** @type {number} */ at) => readFields(kind, value[at], `${place}.${at}`, offences));
  }
  if (schema.type === "object") return readObject(schema, value, place ? `${place}.` : "", offences);
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** @type {(schemas: Schema[], value: any, place: string, offences: string[]) => any} */
function readAny(schemas, value, place, offences) {
  const readings = schemas.map((schema) => {
    /** @type {string[]} */
    const errors = [];
    return { value: readFields(schema, value, place, errors), errors };
  });
  const fitting = readings.find(({ errors }) => !errors.length) ?? readings[0];
  offences.push(...fitting.errors);
  return fitting.value;
}

/** @type {(schema: Schema, value: Record<string, any>, place: string, offences: string[]) => Record<string, any>} */
function readObject({ properties = {}, required = [], additionalProperties: others }, value, place, offences) {
  const names = others ? Object.keys(value) : Object.keys(properties);
  const read = names.map((name) => {
    const schema = others ?? properties[name];
    if (Object.hasOwn(value, name)) return [name, readFields(schema, value[name], place + name, offences)];
    if (required.includes(name)) offences.push(`${place}${name} is missing`);
    // An object of any names has no default in the schema: the one that is left out is empty.
    return [name, structuredClone(schema.default === undefined && schema.additionalProperties ? {} : schema.default)];
  });
  return Object.fromEntries(read);
}

/** @param {string} reference */
function definition(reference) {
  return DEFINITIONS[/** @type {keyof typeof DEFINITIONS} */ (reference.split("/").at(-1))];
}

/** @param {any} value */
function shown(value) {
  const text = value === undefined ? "nothing" : toJson(value);
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}
