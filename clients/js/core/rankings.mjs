// @ts-check
/** The answers of `top_k` as raw ids, best first. */

import { InputError } from "./errors.mjs";
import { idFrom } from "./ids.mjs";
import { rowsOf } from "./tensors.mjs";

/** @import { Id } from "./ids.mjs" */
/** @import { Known } from "./inputs.mjs" */
/** @import { Signature } from "./manifest/manifest.mjs" */
/** @import { Answer } from "./tensors.mjs" */

/**
 * @typedef {{ item_ids: Id[], scores: number[], names?: (string | null)[] }} Ranking  best first; names where the
 *   bundle has some
 */

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
