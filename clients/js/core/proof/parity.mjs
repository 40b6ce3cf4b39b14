// @ts-check
/** The rule by which two answers are equal; rule and wording are those of `export/contract/parity.py`. */

import { PROBABILITIES, rowsOf } from "../tensors.mjs";
import { pythonic } from "../text.mjs";

/** @import { Signature } from "../manifest/manifest.mjs" */
/** @import { Answer, Output } from "../tensors.mjs" */

const RANKED = 10; // so many of the best are compared as a ranking where a signature gives all scores
const MAY_BE_ABSENT = ["top_k", "score_candidates", "score_candidates_from_user"];
const FLOAT32_TINY = 2 ** -126;

/**
 * The difference of an answer from the expected one: the largest |difference| relative to the largest |score|, the
 * places of the ranking that hold another id of an equal score, and what breaks parity, if anything.
 * @typedef {{ error: number, swaps: number, failure: string | null }} Comparison
 */

/**
 * Scores must be finite and differ by at most `tolerance` times the largest |expected score|; -inf may stand only where
 * nothing is there, and then on both sides. Ids must be in the same order, but where two scores differ by no more than
 * twice the tolerance (each may be off by it once). An id that `expected` does not list is measured by `runner_up`, the
 * best score below the list. Where the scores of a call may be small by chance, `largest_score` is the scale.
 * Probabilities may differ by `tolerance`.
 *
 * @param {Signature} signature
 * @param {Answer} expected  with `runner_up` and `largest_score`, where the golden case has them
 * @param {Answer} actual
 * @param {number} tolerance
 * @returns {Comparison}
 */
export function compare(signature, expected, actual, tolerance) {
  for (const { name } of signature.outputs) {
    const [actualDims, expectedDims] = [actual[name]?.dims, expected[name].dims];
    if (String(actualDims) !== String(expectedDims)) {
      return broken(`${name} is ${actualDims ? listed(actualDims) : "missing"}, not ${listed(expectedDims)}`);
    }
  }
  const name = signature.outputs[signature.outputs.length - 1].name;
  const [want, got] = [rowsOf(expected[name]), rowsOf(actual[name])];
  const mayBeAbsent = MAY_BE_ABSENT.includes(signature.name);
  let largest = Math.max(...numbers(expected.largest_score), FLOAT32_TINY);
  const differences = [];
  for (const [row, values] of want.entries()) {
    let difference = 0;
    for (const [place, score] of values.entries()) {
      const other = got[row][place];
      if (mayBeAbsent && score === -Infinity && other === -Infinity) continue;
      if (!Number.isFinite(score) || !Number.isFinite(other)) return broken(`NaN or inf in row ${row}`);
      difference = Math.max(difference, Math.abs(other - score));
      largest = Math.max(largest, Math.abs(score));
    }
    differences.push(difference);
  }
  const worst = differences.indexOf(Math.max(...differences));
  const error = differences[worst] / largest;
  if (error > tolerance) {
    const off = `row ${worst} is off by ${pythonic(error, 2)} of the largest ${name}`;
    return { error, swaps: 0, failure: `${off}, ${pythonic(tolerance, 0)} is allowed` };
  }
  const failure = wrongProbability(signature, expected, actual, tolerance);
  if (failure) return { error, swaps: 0, failure };
  if (name !== "scores") return { error, swaps: 0, failure: null };
  return { error, ...compareRankings(signature, expected, actual, 2 * tolerance * largest) };
}

/**
 * Describe the first row with a probability that is off by more than the tolerance, or NaN; null, if there is none.
 * @param {Signature} signature
 * @param {Answer} expected
 * @param {Answer} actual
 * @param {number} tolerance
 */
function wrongProbability({ outputs: [{ name }] }, expected, actual, tolerance) {
  if (name !== PROBABILITIES) return null;
  const got = rowsOf(actual[name]);
  for (const [row, values] of rowsOf(expected[name]).entries()) {
    const error = Math.max(...values.map((value, place) => Math.abs(got[row][place] - value)));
    if (error <= tolerance) continue;
    return `row ${row} has a probability that is off by ${pythonic(error, 2)}, ${pythonic(tolerance, 0)} is allowed`;
  }
  return null;
}

/**
 * @param {Signature} signature
 * @param {Answer} expected
 * @param {Answer} actual
 * @param {number} noise
 */
function compareRankings(signature, expected, actual, noise) {
  const [want, got] = [rowsOf(expected.scores), rowsOf(actual.scores)];
  const ids = signature.name === "top_k" ? signature.outputs[0].name : null;
  const wantIds = ids ? rowsOf(expected[ids]) : [];
  const gotIds = ids ? rowsOf(actual[ids]) : [];
  let swaps = 0;
  for (const [row, scores] of want.entries()) {
    /** @type {Ranking} */
    let ranking;
    if (ids) {
      const below = numbers(expected.runner_up)[row] ?? -Infinity;
      ranking = { want: wantIds[row], got: gotIds[row], scores: [...scores], below };
    } else {
      const k = signature.name === "all_scores" ? RANKED : scores.length;
      const order = best(scores, k + 1); // one more, for the best score below the list
      const below = order.length > k ? scores[order[k]] : -Infinity;
      const top = order.slice(0, k);
      ranking = { want: top, got: best(got[row], k), scores: top.map((place) => scores[place]), below };
    }
    const ofRow = swapsOf(row, ranking, noise);
    swaps += ofRow.swaps;
    if (ofRow.failure) return { swaps, failure: ofRow.failure };
  }
  return { swaps, failure: null };
}

/**
 * Two rankings of one row by id, the expected scores in their order, and the best score below them.
 * @typedef {{ want: ArrayLike<any>, got: ArrayLike<any>, scores: number[], below: number }} Ranking
 */

/**
 * Count the places with another id; describe the first one that is wrong, if any.
 * @param {number} row
 * @param {Ranking} ranking
 * @param {number} noise
 */
function swapsOf(row, { want, got, scores, below }, noise) {
  let swaps = 0;
  for (const [place, score] of scores.entries()) {
    const [actualId, expectedId] = [got[place], want[place]];
    if (actualId === expectedId) continue;
    swaps += 1;
    const here = `row ${row} has ${quoted(actualId)} in place ${place + 1}, where`;
    if (score === -Infinity) return { swaps, failure: `${here} nothing is left to stand` };
    const same = Array.prototype.indexOf.call(want, actualId);
    const other = same < 0 ? below : scores[same];
    if (other !== score && !(Math.abs(other - score) <= noise)) {
      return { swaps, failure: `${here} ${quoted(expectedId)} scores clearly more` };
    }
    const named = Array.from(got).filter((_, at) => Number.isFinite(scores[at]));
    if (new Set(named).size < named.length) return { swaps, failure: `row ${row} names an id twice` };
  }
  return { swaps, failure: null };
}

/**
 * The places of the best `count` scores, best first, of equal ones the first.
 * @param {ArrayLike<number>} scores
 * @param {number} count
 */
function best(scores, count) {
  const places = Array.from(scores, (_, place) => place);
  return places.sort((one, other) => scores[other] - scores[one] || one - other).slice(0, count);
}

/** @param {Output} [output] */
function numbers(output) {
  return output ? Array.from(output.data, Number) : [];
}

/** @param {string} failure */
function broken(failure) {
  return { error: Infinity, swaps: 0, failure };
}

/** @param {readonly number[]} dims */
function listed(dims) {
  return `[${dims.join(", ")}]`;
}

/** @param {unknown} id */
function quoted(id) {
  return typeof id === "string" ? `'${id}'` : String(id);
}
