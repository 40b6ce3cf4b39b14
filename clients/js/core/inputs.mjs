// @ts-check
/** Users as inputs of a signature. */

import { InputError } from "./errors.mjs";
import { GROUPS, namedInputs, namesOf, sequenceNames, vocabulariesOf } from "./groups.mjs";
import { idOf } from "./ids.mjs";
import { DATA_OF } from "./tensors.mjs";

/** @import { Group, Value } from "./groups.mjs" */
/** @import { Id } from "./ids.mjs" */
/** @import { Manifest, Model, Signature, TensorSpec } from "./manifest/manifest.mjs" */
/** @import { Input } from "./tensors.mjs" */
/** @import { Vocabularies, Vocabulary } from "./vocabulary.mjs" */

/**
 * @typedef {object} User  what is left out, or null, is not known
 * @property {Iterable<Id>} [history]  oldest first
 * @property {Record<string, Value> | null} [context]  values of the request by name: of context features and numbers,
 *   and `request_time`
 * @property {Record<string, Iterable<Value> | null> | null} [events]  values of the events by name, one for each item of
 *   the history: of event features, and `event_time`
 * @property {Iterable<Id>} [candidates]  of `score`
 * @property {Record<string, Iterable<Value> | null> | null} [candidateFeatures]  values of the candidates by name, one
 *   for each of them
 * @property {Record<string, Iterable<Id> | null> | null} [sequences]  the other sequences of items than the history by
 *   name, such as what was skipped, oldest first; one that is left out is empty
 *
 * @typedef {{ manifest: Manifest, vocabularies: Vocabularies | null }} Known  vocabularies, if ids are looked up here
 * @typedef {{ dims: number[], values: (bigint | number | string)[] }} Shaped
 */

// The arguments of a call by what their values are of.
const ARGUMENTS = { request: "context", event: "events", candidate: "candidateFeatures", sequence: "sequences" };

/**
 * The inputs of `signature` for users side by side: shorter histories are padded on the left.
 * @param {Known} bundle
 * @param {Signature} signature
 * @param {User[]} users  with equally many candidates
 * @param {number} [k]  of a signature that takes it, see `kOf` of rankings.mjs
 * @returns {Record<string, Input>}
 */
export function userInputs({ manifest, vocabularies }, signature, users, k) {
  const { items, model } = manifest;
  const raw = signature.ids === "raw";
  const rows = users.map((user) => readUser(model, user));
  if (model.padding === "counted" && new Set(rows.map(({ history }) => history.length)).size > 1)
    throw new InputError("histories are of several lengths, and this model counts padding; call it for each length");
  const [batch, length] = [rows.length, Math.max(1, ...rows.map(({ history }) => history.length))];
  const sizes = { request: 1, event: length, candidate: rows[0]?.candidates.length ?? 0 };
  /** @type {(id: bigint | number | string, vocabulary?: Vocabulary) => bigint | number | string} */
  const atLevel = (id, vocabulary) => (raw ? id : BigInt(vocabulary?.index(String(id)) ?? 0));
  const hasUnknownRow = !raw && model.unknown_items === "row";
  const itemsOf = (/** @type {Id[]} */ ids, /** @type {string} */ place) =>
    ids.map((id) => {
      const index = atLevel(idOf(id, items, place), vocabularies?.items);
      // One out of range is that of an item that the model does not know.
      return hasUnknownRow && !index && id !== items.padding ? -1n : index;
    });
  /** @type {(group: Group, name: string) => Shaped["values"]} */
  const columnOf = (group, name) => {
    const facts = vocabulariesOf(group, manifest)[name];
    const vocabulary = vocabularies && facts ? vocabulariesOf(group, vocabularies)[name] : undefined;
    const place = `${ARGUMENTS[group.of]} ${name}`;
    const size = sizes[group.of];
    const lists = rows.flatMap(({ values }) => padded(values.get(name) ?? [], size, null));
    const read = lists.map((value) => group.kind.read(value ?? group.kind.unknown(facts), place, facts));
    return facts ? read.map((value) => atLevel(value, vocabulary)) : read;
  };
  const history = rows.flatMap((row) => itemsOf(padded(row.history, length, items.padding), "history"));
  const candidates = rows.flatMap((row) => itemsOf(row.candidates, "candidates"));
  /** @type {Map<string, Shaped>} */
  const tensors = new Map([
    [raw ? "history" : "items", { dims: [batch, length], values: history }],
    ["candidates", { dims: [batch, candidates.length / batch], values: candidates }],
    ["k", { dims: [1], values: [BigInt(k ?? 0)] }],
  ]);
  for (const name of sequenceNames(model)) {
    const lists = rows.map(({ sequences }) => sequences.get(name) ?? []);
    const longest = Math.max(1, ...lists.map((list) => list.length));
    const values = lists.flatMap((list) => itemsOf(padded(list, longest, items.padding), name));
    tensors.set(name, { dims: [batch, longest], values });
  }
  for (const group of GROUPS) {
    const names = namesOf(group, model);
    const dims = group.of === "request" ? [batch] : [batch, sizes[group.of]];
    const columns = names.map((name) => columnOf(group, name));
    if (raw || !group.stacked) names.forEach((name, column) => tensors.set(name, { dims, values: columns[column] }));
    else if (names.length) {
      const values = columns[0].flatMap((_, slot) => columns.map((column) => column[slot]));
      tensors.set(group.name, { dims: [...dims, names.length], values });
    }
  }
  return Object.fromEntries(signature.inputs.map((spec) => [spec.name, inputOf(spec, tensors.get(spec.name))]));
}

/**
 * Check the names and counts of a user's values.
 * @param {Model} model
 * @param {User} user
 * @returns {{ history: Id[], candidates: Id[], values: Map<string, Value[]>, sequences: Map<string, Id[]> }}  by input
 */
function readUser(model, user) {
  const history = listOf(user.history, "history");
  /** @type {Map<string, Value[]>} */
  const values = new Map();
  const candidates = listOf(user.candidates, "candidates");
  for (const [name, value] of entriesOf(user.context, model, "request")) values.set(name, [value]);
  const addLists = (/** @type {User["events"]} */ lists, /** @type {"event" | "candidate"} */ of) => {
    const [items, beside] = of === "event" ? [history, "history"] : [candidates, "candidates"];
    for (const [name, list] of entriesOf(lists, model, of)) {
      const row = listOf(list ?? Array(items.length).fill(null), `${ARGUMENTS[of]} ${name}`);
      if (row.length !== items.length) {
        const counts = `has ${row.length} values, and the ${beside} ${items.length}`;
        throw new InputError(`${ARGUMENTS[of]} '${name}' ${counts}; give one for each item`);
      }
      values.set(name, row);
    }
  };
  addLists(user.events, "event");
  addLists(user.candidateFeatures, "candidate");
  const lists = entriesOf(user.sequences, model, "sequence");
  const sequences = new Map(lists.map(([name, list]) => /** @type {const} */ ([name, listOf(list, name)])));
  return { history, candidates, values, sequences };
}

/**
 * @template T
 * @param {Record<string, T> | null | undefined} values
 * @param {Model} model
 * @param {Group["of"] | "sequence"} of
 */
function entriesOf(values, model, of) {
  const argument = ARGUMENTS[of];
  if (values && (typeof values !== "object" || Symbol.iterator in values)) {
    throw new InputError(`${argument} is no object; give values by name, such as { name: value }`);
  }
  const names = of === "sequence" ? sequenceNames(model) : [...namedInputs(model, of).keys()];
  const strangers = Object.keys(values ?? {}).filter((name) => !names.includes(name));
  if (!strangers.length) return Object.entries(values ?? {});
  const listed = strangers.map((name) => `'${name}'`).join(", ");
  throw new InputError(`${argument} ${listed} is no feature of the model; known: ${names.join(", ") || "none"}`);
}

/**
 * @template T
 * @param {Iterable<T> | null | undefined} values
 * @param {string} place
 */
function listOf(values, place) {
  const list = values ?? [];
  if (typeof list !== "object" || !(Symbol.iterator in list)) {
    throw new InputError(`${place}: '${list}' is no list; give one, oldest first`);
  }
  return [...list];
}

/**
 * @template T
 * @param {T[]} values
 * @param {number} length
 * @param {T} filling
 */
function padded(values, length, filling) {
  return [...Array(length - values.length).fill(filling), ...values];
}

/**
 * @param {TensorSpec} spec
 * @param {Shaped | undefined} shaped
 * @returns {Input}
 */
function inputOf({ name, dtype }, shaped) {
  if (!shaped) throw new InputError(`the input '${name}' is not known to this client; take the client of a later version`);
  return { dtype, dims: shaped.dims, data: DATA_OF[dtype](shaped.values) };
}
