// @ts-check
/** Users' histories and context as inputs of a signature, and its outputs as raw ids. */

import { InputError } from "./errors.mjs";
import { axes, rowsOf } from "./tensors.mjs";

/** @import { Manifest, Signature, TensorSpec, VocabularyFacts } from "./manifest/manifest.mjs" */
/** @import { Answer, Input } from "./tensors.mjs" */
/** @import { Vocabularies } from "./vocabulary.mjs" */

/**
 * A raw id. A JavaScript number does not hold 64 bits: beyond 2 ** 53 an id is a `bigint`, or text on its way in.
 * @typedef {number | bigint | string} Id
 *
 * @typedef {object} User  a missing value is padding
 * @property {Id[]} [history]  oldest first
 * @property {Record<string, Id>} [context]  by feature
 * @property {Id[]} [candidates]  of `score`
 *
 * @typedef {{ item_ids: Id[], scores: number[], names?: (string | null)[] }} Ranking  best first; names where the
 *   bundle has some
 * @typedef {{ manifest: Manifest, vocabularies: Vocabularies | null }} Known  vocabularies, if ids are looked up here
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
  const number = dtype === "int64" ? integerOf(id) : null;
  if (number !== null && BigInt.asIntN(64, number) === number) return number;
  const kind = dtype === "string" ? "text" : "integers of 64 bits";
  const remedy = typeof id === "number" && kind !== "text" ? "; beyond 2 ** 53 give a bigint" : "";
  throw new InputError(`${place}: '${id}' is not an id of this model; its ids are ${kind}${remedy}`);
}

/** @param {Id} id */
function integerOf(id) {
  if (typeof id === "bigint") return id;
  if (typeof id === "number") return Number.isSafeInteger(id) ? BigInt(id) : null;
  return /^[-+]?\d+$/.test(id) ? BigInt(id) : null;
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

/**
 * Return the number of items that `top_k` is to return: by default its fixed k; where k is an input, 10 or its largest.
 * @param {Signature} signature
 * @param {number} [k]
 */
export function kOf({ max_k: most, outputs }, k) {
  if (most === null) {
    const fixed = Number(outputs[0].shape[1]);
    if (k === undefined) return fixed;
    if (Number.isInteger(k) && k >= 1 && k <= fixed) return k;
    throw new InputError(`--k ${k}: this bundle gives 1 to ${fixed}; export with a larger --k`);
  }
  const count = k ?? Math.min(10, most);
  if (Number.isInteger(count) && count >= 1 && count <= most) return count;
  throw new InputError(`k is ${count}, not between 1 and ${most}; give another --k`);
}

/**
 * The inputs of `signature` for users side by side: shorter histories are padded on the left.
 * @param {Known} bundle
 * @param {Signature} signature
 * @param {User[]} users  with equally many candidates
 * @param {number} [k]  of a signature that takes it, see `kOf`
 * @returns {Record<string, Input>}
 */
export function userInputs({ manifest, vocabularies }, signature, users, k) {
  const { items, context } = manifest;
  const features = manifest.model.context.map(({ name }) => name);
  for (const user of users) checkFeatures(user, features);
  const raw = signature.ids === "raw";
  /** @type {(id: Id, place: string) => bigint | string} */
  const item = (id, place) => {
    const value = idOf(id, items, place);
    return raw ? value : BigInt(vocabularies?.items.index(String(value)) ?? 0);
  };
  /** @type {(user: User, name: string) => bigint | string} */
  const category = (user, name) => {
    const value = idOf(user.context?.[name] ?? context[name].padding, context[name], `context ${name}`);
    return raw ? value : BigInt(vocabularies?.context[name].index(String(value)) ?? 0);
  };
  const length = Math.max(1, ...users.map(({ history = [] }) => history.length));
  const histories = users.flatMap(({ history = [] }) => [
    ...Array(length - history.length).fill(items.padding),
    ...history,
  ]);
  const categories = users.map((user) => features.map((name) => category(user, name)));
  const history = histories.map((id) => item(id, "history"));
  const candidates = users.flatMap(({ candidates: ids = [] }) => ids.map((id) => item(id, "candidates")));
  /** @type {Record<string, (bigint | string)[]>} */
  const values = raw
    ? { history, ...Object.fromEntries(features.map((name, column) => [name, categories.map((row) => row[column])])) }
    : { items: history, context: categories.flat() };
  Object.assign(values, { candidates, k: [BigInt(k ?? 0)] });
  return Object.fromEntries(
    signature.inputs.map((spec) => [spec.name, inputOf(spec, values[spec.name], users.length)]),
  );
}

/**
 * @param {User} user
 * @param {string[]} features
 */
function checkFeatures({ context = {} }, features) {
  const unknown = Object.keys(context).find((name) => !features.includes(name));
  if (unknown === undefined) return;
  throw new InputError(`context '${unknown}' is not a feature of the model: ${features.join(", ") || "it has none"}`);
}

/**
 * @param {TensorSpec} spec
 * @param {(bigint | string)[]} values
 * @param {number} batch
 * @returns {Input}
 */
function inputOf({ dtype, shape }, values, batch) {
  const dims = shape.length === 2 ? [batch, values.length / batch] : [values.length];
  const data = dtype === "int64" ? BigInt64Array.from(/** @type {bigint[]} */ (values)) : values;
  return { dtype, dims, data: /** @type {BigInt64Array | string[]} */ (data) };
}

/**
 * Refuse inputs that do not fit the signature or one another, before the runtime sees them.
 * @param {Signature} signature
 * @param {Record<string, Input>} inputs
 */
export function checkInputs(signature, inputs) {
  /** @type {Record<string, number>} */
  const sizes = {};
  const offences = [];
  for (const { name, shape, dtype } of signature.inputs) {
    const { dims, data } = inputs[name];
    const shaped = `${name} has shape [${dims.join(", ")}]`;
    if (dims.length !== shape.length || !data.length || dims.reduce((one, other) => one * other) !== data.length) {
      offences.push(shaped);
      continue;
    }
    if (dtype === "string" && ![...data].every((value) => typeof value === "string")) {
      offences.push(`${name} holds something else than text`);
    }
    shape.forEach((axis, place) => {
      const expected = typeof axis === "number" ? axis : (sizes[axis] ??= dims[place]);
      if (dims[place] !== expected) offences.push(`${shaped}, where ${axis} is ${expected}`);
    });
    if (name === "k" && !(Number(data[0]) >= 1 && Number(data[0]) <= (signature.max_k ?? 0))) {
      offences.push(`k is ${data[0]}, not between 1 and ${signature.max_k}`);
    }
  }
  if (!offences.length) return;
  const takes = signature.inputs.map((spec) => `${spec.name} ${spec.dtype} ${axes(spec.shape)}`).join(", ");
  throw new InputError(`${offences.join("; ")}; ${signature.name} takes ${takes}`);
}

/**
 * Read an answer of `top_k`, one ranking a user, without places that no item fills.
 * @param {Known} bundle
 * @param {Signature} signature
 * @param {Answer} answer
 * @param {number} k  at most so many a user
 * @returns {Ranking[]}
 */
export function rankingsOf({ manifest: { items }, vocabularies }, signature, answer, k) {
  const ids = rowsOf(answer[signature.outputs[0].name]);
  const idAt = (/** @type {bigint | string} */ value) =>
    idFrom(signature.ids === "raw" ? value : (vocabularies?.items.raw(Number(value)) ?? ""), items);
  return rowsOf(answer.scores).map((all, row) => {
    const filled = all.findIndex((score) => !Number.isFinite(score));
    const scores = all.slice(0, filled < 0 ? k : Math.min(k, filled));
    const ranking = { item_ids: ids[row].slice(0, scores.length).map(idAt), scores };
    const names = vocabularies?.items.names && ranking.item_ids.map((id) => vocabularies.items.name(String(id)));
    return names ? { ...ranking, names } : ranking;
  });
}
