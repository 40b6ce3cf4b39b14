// @ts-check
/** Arrays with a shape: inputs and outputs of a session. */

import { InputError } from "./errors.mjs";

/** @import { Dtype, Signature, TensorSpec } from "./manifest/manifest.mjs" */

/**
 * @typedef {BigInt64Array | Float32Array | string[]} Data  row by row
 * @typedef {{ dims: readonly number[], data: Data }} Output
 * @typedef {Output & { dtype: Dtype }} Input
 * @typedef {Record<string, Output>} Answer  by the names of the outputs
 */

/** The output of a click model that stands before its scores. */
export const PROBABILITIES = "probabilities";

/**
 * @param {Output} output  `[batch, width]`
 * @returns {any[][]}
 */
export function rowsOf({ dims: [rows, width], data }) {
  return Array.from({ length: rows }, (_, row) => [...data.slice(row * width, (row + 1) * width)]);
}

/** @param {readonly (number | string)[]} shape */
export function axes(shape) {
  return `[${shape.map((axis) => (typeof axis === "string" ? `'${axis}'` : axis)).join(", ")}]`;
}

/**
 * What JSON has in place of a float that it lacks. An answer is never NaN, and -inf stands where nothing is there.
 * @type {Map<unknown, number>}
 */
export const NULL_IS_NOTHING = new Map([[null, -Infinity]]);

/** Inputs may be any float. @type {Map<unknown, number>} */
export const NAMES_OF_FLOATS = new Map(
  [NaN, Infinity, -Infinity].map((number) => /** @type {const} */ ([String(number), number])),
);

/**
 * Read nested lists as JSON has them.
 * @param {Pick<TensorSpec, "name" | "dtype">} spec
 * @param {any} nested
 * @param {Map<unknown, number>} floats  what stands for those that JSON lacks
 * @returns {Input}
 */
export function tensorOf({ name, dtype }, nested, floats) {
  if (nested === undefined) throw new Error(`${name} is missing`);
  const dims = [];
  for (let inner = nested; Array.isArray(inner); [inner] = inner) dims.push(inner.length);
  if (!isRegular(nested, dims)) throw new Error(`${name} has rows of several lengths`);
  const flat = [nested].flat(Infinity);
  return { dtype, dims, data: DATA_OF[dtype](flat.map((value) => READ[dtype](value, floats))) };
}

/**
 * @param {any} nested
 * @param {number[]} dims
 * @returns {boolean}
 */
function isRegular(nested, [size, ...inner]) {
  if (size === undefined) return !Array.isArray(nested);
  return Array.isArray(nested) && nested.length === size && nested.every((one) => isRegular(one, inner));
}

/** @type {Record<Dtype, (values: any[]) => Data>} */
export const DATA_OF = {
  int64: (values) => BigInt64Array.from(values),
  float32: (values) => Float32Array.from(values),
  string: (values) => values,
};

/** @type {Record<Dtype, (value: any, floats: Map<unknown, number>) => bigint | number | string>} */
const READ = {
  int64: (value) => exactly(BigInt(value)),
  float32: (value, floats) => floats.get(value) ?? finite(value),
  string: text,
};

/** @param {any} value */
function text(value) {
  if (typeof value === "string") return value;
  throw new Error(`${value} is no text`);
}

/** @param {bigint} number */
function exactly(number) {
  if (BigInt.asIntN(64, number) === number) return number;
  throw new Error(`${number} does not fit 64 bits`);
}

/** @param {any} value */
function finite(value) {
  const number = value === null || value === "" ? NaN : Number(value);
  if (Number.isFinite(number)) return number;
  throw new Error(`${value} is not a number`);
}

/**
 * Refuse inputs that do not fit the signature or one another, before the runtime sees them.
 * @param {Signature} signature
 * @param {Record<string, Input>} inputs
 */
export function checkInputs(signature, inputs) {
  /** @type {Record<string, number>} */
  const sizes = {};
  const names = signature.inputs.map(({ name }) => name);
  const offences = Object.keys(inputs).filter((name) => !names.includes(name)).map((name) => `${name} is not an input`);
  for (const spec of signature.inputs) {
    const offence = offenceOf(spec, Object.hasOwn(inputs, spec.name) ? inputs[spec.name] : null, sizes);
    if (offence) offences.push(offence);
    else if (spec.name === "k") {
      const [k] = inputs.k.data;
      if (!(Number(k) >= 1 && Number(k) <= (signature.max_k ?? 0))) {
        offences.push(`k is ${k}, not between 1 and ${signature.max_k}`);
      }
    }
  }
  if (!offences.length) return;
  const takes = signature.inputs.map((spec) => `${spec.name} ${spec.dtype} ${axes(spec.shape)}`).join(", ");
  throw new InputError(`${offences.join("; ")}; ${signature.name} takes ${takes}`);
}

const HOLDERS = { int64: "BigInt64Array", float32: "Float32Array", string: "Array" };

/**
 * Describe the error of an input; empty, if there is none.
 * @param {TensorSpec} spec
 * @param {Input | null} input
 * @param {Record<string, number>} sizes  of named axes, which grow with each input
 */
function offenceOf({ name, shape, dtype }, input, sizes) {
  if (!input) return `${name} is missing`;
  const { dims, data } = input;
  const holder = Object.prototype.toString.call(data).slice("[object ".length, -1); // also of another realm
  if (input.dtype !== dtype || holder !== HOLDERS[dtype]) {
    return `${name} is ${input.dtype} in ${holder}, not ${dtype} in ${HOLDERS[dtype]}`;
  }
  if (dtype === "string" && ![...data].every((value) => typeof value === "string")) {
    return `${name} holds something else than text`;
  }
  const shaped = `${name} has shape [${dims.join(", ")}]`;
  if (dims.length !== shape.length || !data.length || dims.reduce((one, other) => one * other) !== data.length) {
    return shaped;
  }
  for (const [place, axis] of shape.entries()) {
    const expected = typeof axis === "number" ? axis : (sizes[axis] ??= dims[place]);
    if (dims[place] !== expected) return `${shaped}, where ${axis} is ${expected}`;
  }
  return "";
}
