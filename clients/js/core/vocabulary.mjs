// @ts-check
/** Raw ids and their indices, for bundles at index level and for callers that need the ids. */

import { readJson } from "./contents.mjs";

/** @import { Source } from "./contents.mjs" */

/**
 * @typedef {{ items: Vocabulary, context: Record<string, Vocabulary>, events: Record<string, Vocabulary>,
 *   candidate_features: Record<string, Vocabulary> }} Vocabularies
 */

export const VOCABULARY = "vocabulary.json";

/** Raw ids, as text, in the order of their indices: index 1 first, 0 for what it does not hold. */
export class Vocabulary {
  /**
   * @param {{ dtype: "int64" | "string", padding: number | string, ids: (number | string)[],
   *   names?: (string | null)[] }} values  names are for people, in the order of the ids
   */
  constructor({ dtype, padding, ids, names }) {
    this.dtype = dtype;
    this.padding = String(padding);
    this.ids = ids.map(String);
    this.names = names;
    this.places = new Map(this.ids.map((id, place) => [id, place + 1]));
  }

  /** @param {string} id */
  index(id) {
    return this.places.get(id) ?? 0;
  }

  /**
   * @param {string} id
   * @returns {string | null} its name, if it has one
   */
  name(id) {
    return this.names?.[this.index(id) - 1] ?? null;
  }

  /** @param {number} index  out of range, it stands for padding */
  raw(index) {
    return this.ids[index - 1] ?? this.padding;
  }
}

/**
 * @param {Source} source
 * @returns {Promise<Vocabularies>}
 */
export async function readVocabularies(source) {
  const values = await readJson(source, VOCABULARY);
  const { items, context, events = {}, candidate_features = {} } = values; // the last two are not in every bundle
  const tables = (/** @type {Record<string, any>} */ group) =>
    Object.fromEntries(Object.entries(group).map(([name, values]) => [name, new Vocabulary(values)]));
  return {
    items: new Vocabulary(items),
    context: tables(context),
    events: tables(events),
    candidate_features: tables(candidate_features),
  };
}
