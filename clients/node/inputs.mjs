// @ts-check
/** What a person says of one user becomes the inputs of a signature; what the model answers becomes ids again. */

import { InputError } from "./bundle.mjs";

/** @import { Bundle, Dtype, Manifest, Signature, TensorSpec, VocabularyFacts } from "./bundle.mjs" */
/** @import { Answer } from "./session.mjs" */

/**
 * Ids are text until they become tensors: a JavaScript number does not hold 64 bits.
 *
 * @typedef {{ history: string[], context: Record<string, string>, candidates?: string[], k?: number }} User
 * @typedef {{ dtype: Dtype, dims: number[], data: BigInt64Array | string[] }} Input
 */

/**
 * Bring an id into the form in which the vocabulary holds it.
 * @param {string} text
 * @param {VocabularyFacts} facts
 * @param {string} option  where it was given, for the message
 */
export function idOf(text, facts, option) {
  if (facts.dtype === "string") return text;
  const number = /^[-+]?\d+$/.test(text) ? BigInt(text) : null;
  if (number === null || BigInt.asIntN(64, number) !== number) {
    throw new InputError(`${option}: '${text}' is not an id of this model; its ids are integers of 64 bits`);
  }
  return String(number);
}

/**
 * Read `NAME=VALUE` pairs.
 * @param {string[]} pairs
 * @param {Manifest} manifest
 */
export function contextOf(pairs, manifest) {
  /** @type {Map<string, string>} */
  const given = new Map();
  for (const pair of pairs) {
    const [name, ...value] = pair.split("=");
    if (!value.length || !Object.hasOwn(manifest.context, name) || given.has(name)) {
      const known = manifest.model.context.map((one) => one.name).join(", ") || "none";
      throw new InputError(`--context '${pair}' is not one of NAME=VALUE with a feature of the model, once: ${known}`);
    }
    given.set(name, idOf(value.join("="), manifest.context[name], `--context ${name}`));
  }
  return Object.fromEntries(given);
}

/**
 * How many items `top_k` is to give, where the bundle leaves that to the caller: 10, or as many as it can.
 * @param {Signature} signature
 * @param {number} [k]
 */
export function kOf(signature, k) {
  if (signature.max_k === null) {
    if (k === undefined) return undefined;
    throw new InputError(`--k ${k}: this bundle gives ${signature.outputs[0].shape[1]}; export with --max-k to choose`);
  }
  const asked = k ?? Math.min(10, signature.max_k);
  if (Number.isInteger(asked) && asked >= 1 && asked <= signature.max_k) return asked;
  throw new InputError(`k is ${asked}, not between 1 and ${signature.max_k}; give another --k`);
}

/**
 * The inputs of `signature` for one user. What the user does not say is padding.
 * @param {Bundle} bundle  with vocabularies, if it is at index level
 * @param {Signature} signature
 * @param {User} user
 * @returns {Record<string, Input>}
 */
export function userInputs({ manifest, vocabularies }, signature, user) {
  const { items, context } = manifest;
  const raw = signature.ids === "raw";
  const features = manifest.model.context.map(({ name }) => name);
  const category = (/** @type {string} */ name) => user.context[name] ?? String(context[name].padding);
  const index = (/** @type {string} */ id) => vocabularies?.items.index(id) ?? 0;
  const history = user.history.length ? user.history : [String(items.padding)];
  const candidates = user.candidates ?? [];
  /** @type {Record<string, (string | number)[]>} */
  const given = { k: [user.k ?? 0] };
  if (raw) {
    Object.assign(given, { history, candidates }, Object.fromEntries(features.map((name) => [name, [category(name)]])));
  } else {
    const categories = features.map((name) => vocabularies?.context[name].index(category(name)) ?? 0);
    Object.assign(given, { items: history.map(index), candidates: candidates.map(index), context: categories });
  }
  return Object.fromEntries(signature.inputs.map((spec) => [spec.name, inputOf(spec, given[spec.name])]));
}

/**
 * @param {TensorSpec} spec
 * @param {(string | number)[]} values
 * @returns {Input}
 */
function inputOf(spec, values) {
  const dims = spec.shape.length === 2 ? [1, values.length] : [values.length];
  const data = spec.dtype === "int64" ? BigInt64Array.from(values, BigInt) : values.map(String);
  return { dtype: spec.dtype, dims, data };
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
  for (const { name, shape } of signature.inputs) {
    const { dims, data } = inputs[name];
    const told = `${name} has shape [${dims.join(", ")}]`;
    if (dims.length !== shape.length || !data.length || dims.reduce((one, other) => one * other) !== data.length) {
      offences.push(told);
      continue;
    }
    shape.forEach((axis, place) => {
      const expected = typeof axis === "number" ? axis : (sizes[axis] ??= dims[place]);
      if (dims[place] !== expected) offences.push(`${told}, where ${axis} is ${expected}`);
    });
    if (name === "k" && !(Number(data[0]) >= 1 && Number(data[0]) <= (signature.max_k ?? 0))) {
      offences.push(`k is ${data[0]}, not between 1 and ${signature.max_k}`);
    }
  }
  if (offences.length) throw new InputError(`${offences.join("; ")}; ${statedOf(signature)}`);
}

/** @param {Signature} signature */
function statedOf({ name, inputs }) {
  const axes = (/** @type {TensorSpec} */ { shape }) =>
    shape.map((axis) => (typeof axis === "number" ? axis : `'${axis}'`)).join(", ");
  return `${name} takes ${inputs.map((spec) => `${spec.name} ${spec.dtype} [${axes(spec)}]`).join(", ")}`;
}

/**
 * The ids and scores of the first row of an answer of `top_k`, without places where nothing is left to stand.
 * @param {Bundle} bundle
 * @param {Signature} signature
 * @param {Answer} answer
 * @returns {{ ids: string[], scores: number[] }}
 */
export function recommended({ vocabularies }, signature, answer) {
  const all = Array.from(answer.scores.data, Number);
  const left = all.findIndex((score) => !Number.isFinite(score)); // where nothing is left
  const scores = left < 0 ? all : all.slice(0, left);
  const found = Array.from(answer[signature.outputs[0].name].data).slice(0, scores.length);
  const ids =
    signature.ids === "raw" ? found.map(String) : found.map((one) => vocabularies?.items.raw(Number(one)) ?? "");
  return { ids, scores };
}
