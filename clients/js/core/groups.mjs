// @ts-check
/** The inputs of a model beside the items: the groups that there are, and what a value of each may be. */

import { InputError } from "./errors.mjs";
import { idOf, integerOf } from "./ids.mjs";

/** @import { Id } from "./ids.mjs" */
/** @import { Model, VocabularyFacts } from "./manifest/manifest.mjs" */

const MAX_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

/**
 * A value as a caller gives it: a category is an id, a time seconds since 1970, a number a number; null is not known.
 * @typedef {Id | null} Value
 *
 * @typedef {object} Kind  of values
 * @property {string} noun
 * @property {(facts?: VocabularyFacts) => Id} unknown  the value that stands for one that is not known
 * @property {(value: Id, place: string, facts?: VocabularyFacts) => bigint | number | string} read  the form of a tensor
 * @property {(text: string) => Id | null} parse  a text of the command line; null, if it is none of the kind
 *
 * @typedef {object} Group  by index one tensor; as a caller gives them, each input is one of its own
 * @property {string} name  of the tensor
 * @property {Kind} kind
 * @property {"request" | "event" | "candidate"} of  what an input has a value for: one, each item of the history, or each
 *   candidate
 * @property {boolean} stacked  the tensor has a last axis, with a column an input; else it is the one input
 * @property {(model: Model) => { name: string, num_categories?: number }[]} features  in the order of the columns
 */

/** @type {Kind} */
export const CATEGORIES = {
  noun: "category",
  unknown: (facts) => facts?.padding ?? "",
  read: (value, place, facts) => idOf(value, /** @type {VocabularyFacts} */ (facts), place),
  parse: (text) => text,
};

/** @type {Kind} */
export const SECONDS = {
  noun: "time in seconds since 1970",
  unknown: () => 0,
  read: (value, place) => integerOf(value) ?? refuse(SECONDS, value, place, "an integer, beyond 2 ** 53 a bigint"),
  parse: (text) => (/^[-+]?\d{1,99}$/.test(text) ? BigInt(text.replace("+", "")) : null),
};

/** What is not finite is not known. @type {Kind} */
export const NUMBERS = {
  noun: "number",
  unknown: () => NaN,
  read: (value, place) => {
    if (typeof value !== "number" && typeof value !== "bigint") return refuse(NUMBERS, value, place, "a number");
    const number = Number(value);
    if (Number.isFinite(number) && Math.abs(number) > MAX_FLOAT32) {
      throw new InputError(`${place}: ${value} is beyond float32; give null where it is not known`);
    }
    return number;
  },
  parse: (text) => {
    const [, sign, word] = /^([-+]?)(nan|inf(?:inity)?)$/i.exec(text) ?? [];
    if (word) return /^n/i.test(word) ? NaN : Number(`${sign}Infinity`);
    return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : null;
  },
};

/**
 * @param {Kind} kind
 * @param {unknown} value
 * @param {string} place
 * @param {string} form
 * @returns {never}
 */
function refuse({ noun }, value, place, form) {
  const shown = typeof value === "string" ? `'${value}'` : String(value);
  throw new InputError(`${place}: ${shown} is no ${noun}; give ${form}, or null where it is not known`);
}

/** @type {(name: string) => Group["features"]} */
const timed = (name) => (model) => (model.event_times === "none" ? [] : [{ name }]);

/** @type {Group[]} */
export const GROUPS = [
  { name: "events", kind: CATEGORIES, of: "event", stacked: true, features: (model) => model.event_features },
  { name: "event_time", kind: SECONDS, of: "event", stacked: false, features: timed("event_time") },
  { name: "request_time", kind: SECONDS, of: "request", stacked: false, features: timed("request_time") },
  { name: "context", kind: CATEGORIES, of: "request", stacked: true, features: (model) => model.context },
  { name: "numbers", kind: NUMBERS, of: "request", stacked: true, features: (model) => model.numbers },
  {
    name: "candidate_features",
    kind: CATEGORIES,
    of: "candidate",
    stacked: true,
    features: (model) => model.candidate_features,
  },
];

/**
 * The other sequences of items than the history, which have lengths of their own.
 * @param {Model} model
 */
export function sequenceNames({ sequences }) {
  return sequences.map(({ name }) => name);
}

/**
 * The inputs of a request, of its events or of its candidates, by name.
 * @param {Model} model
 * @param {Group["of"]} of
 * @returns {Map<string, Group>}
 */
export function namedInputs(model, of) {
  const groups = GROUPS.filter((group) => group.of === of);
  return new Map(groups.flatMap((group) => namesOf(group, model).map((name) => /** @type {const} */ ([name, group]))));
}

/**
 * @param {Group} group
 * @param {Model} model
 */
export function namesOf({ features }, model) {
  return features(model).map(({ name }) => name);
}

/**
 * The vocabularies of a group, or facts of them, by name; none where it holds no categories.
 * @template T
 * @param {Group} group
 * @param {{ context: Record<string, T>, events: Record<string, T>, candidate_features: Record<string, T> }} holder
 * @returns {Record<string, T>}
 */
export function vocabulariesOf({ name }, { context, events, candidate_features }) {
  return { context, events, candidate_features }[name] ?? {};
}
