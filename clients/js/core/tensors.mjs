// @ts-check
/** Arrays with a shape: inputs and outputs of a session. */

/** @import { Dtype, TensorSpec } from "./manifest/manifest.mjs" */

/**
 * @typedef {BigInt64Array | Float32Array | string[]} Data  row by row
 * @typedef {{ dims: readonly number[], data: Data }} Output
 * @typedef {Output & { dtype: Dtype }} Input
 * @typedef {Record<string, Output>} Answer  by the names of the outputs
 */

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
 * Read nested lists as JSON has them; in floats null stands for -inf, which JSON does not have.
 * @param {Pick<TensorSpec, "name" | "dtype">} spec
 * @param {any} nested
 * @returns {Input}
 */
export function tensorOf({ name, dtype }, nested) {
  if (nested === undefined) throw new Error(`${name} is missing`);
  const dims = [];
  for (let inner = nested; Array.isArray(inner); [inner] = inner) dims.push(inner.length);
  if (!isRegular(nested, dims)) throw new Error(`${name} has rows of several lengths`);
  const flat = [nested].flat(Infinity);
  return { dtype, dims, data: dataOf[dtype](flat) };
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

/** @type {Record<Dtype, (flat: any[]) => Data>} */
const dataOf = {
  int64: (flat) => BigInt64Array.from(flat, (one) => exactly(BigInt(one))),
  float32: (flat) => Float32Array.from(flat, (one) => (one === null ? -Infinity : finite(one))),
  string: (flat) => flat.map(text),
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
  const number = Number(value);
  if (Number.isFinite(number)) return number;
  throw new Error(`${value} is not a number`);
}
