// @ts-check
/** Raw ids, as a caller has them and as tensors hold them. */

import { InputError } from "./errors.mjs";

/** @import { VocabularyFacts } from "./manifest/manifest.mjs" */

/**
 * A raw id. A JavaScript number does not hold 64 bits: beyond 2 ** 53 an id is a `bigint`, or text on its way in.
 * @typedef {number | bigint | string} Id
 */

/**
 * Convert an id to the form of a tensor.
 * @param {Id} id
 * @param {VocabularyFacts} facts
 * @param {string} place  of the id, for the message
 * @returns {bigint | string}
 */
export function idOf(id, { dtype }, place) {
  if (dtype === "string" && typeof id === "string") return id;
  const number = dtype === "int64" ? integerOf(typeof id === "string" && /^[-+]?\d+$/.test(id) ? BigInt(id) : id) : null;
  if (number !== null) return number;
  const kind = dtype === "string" ? "text" : "integers of 64 bits";
  const remedy = typeof id === "number" && kind !== "text" ? "; beyond 2 ** 53 give a bigint" : "";
  throw new InputError(`${place}: '${id}' is not an id of this model; its ids are ${kind}${remedy}`);
}

/**
 * Return an integer of 64 bits; null for all else, also for a number that may have lost digits.
 * @param {unknown} value
 */
export function integerOf(value) {
  const number = typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : value;
  return typeof number === "bigint" && BigInt.asIntN(64, number) === number ? number : null;
}

/**
 * An id as a caller gets it: a number where a number holds it.
 * @param {bigint | string} value
 * @param {VocabularyFacts} facts
 * @returns {Id}
 */
export function idFrom(value, { dtype }) {
  if (dtype === "string") return String(value);
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : BigInt(value);
}
