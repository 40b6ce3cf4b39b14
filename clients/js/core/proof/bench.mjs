// @ts-check
/** The stopwatch: a golden call, from raw ids to raw ids and scores. */

import { InputError } from "../errors.mjs";
import { rowsOf } from "../tensors.mjs";
import { readGolden } from "./golden.mjs";

/** @import { Bundle } from "../bundle.mjs" */
/** @import { User } from "../inputs.mjs" */
/** @import { Vocabularies } from "../vocabulary.mjs" */
/** @import { GoldenCase } from "./golden.mjs" */

const WARM_UP_CALLS = 20;

/**
 * Time calls of `top_k`, one after the other. Where the format is at index level, ids are looked up within the call.
 * @param {Bundle} bundle
 * @param {{ case: string, calls: number }} options
 * @param {(done: number) => void | Promise<void>} [tell]  now and then, between two calls
 */
export async function bench(bundle, options, tell = () => {}) {
  const golden = await readGolden(bundle, "top_k");
  if (!golden) throw new InputError("the golden calls of top_k were left out, which are timed here; restore golden/");
  const chosen = golden.find((call) => call.name === options.case);
  if (!chosen) {
    const names = golden.map((call) => call.name).join(", ");
    throw new InputError(`--case '${options.case}' is not a golden case of top_k; known: ${names}`);
  }
  const users = usersOf(bundle, chosen);
  const k = chosen.inputs.k && Number(chosen.inputs.k.data[0]);
  /** @type {number[]} */
  const times = [];
  for (let call = -WARM_UP_CALLS; call < options.calls; call += 1) {
    if (call % 500 === 0) await tell(Math.max(call, 0));
    const started = performance.now();
    await bundle.recommendAll(users, k);
    if (call >= 0) times.push(1000 * (performance.now() - started));
  }
  times.sort((one, other) => one - other);
  const at = (/** @type {number} */ share) => Math.round(10 * times[Math.ceil(share * times.length) - 1]) / 10;
  return {
    format: "onnx",
    signature: "top_k",
    case: options.case,
    rows: users.length,
    length: users[0].history?.length,
    threads: 1,
    calls: options.calls,
    p50_us: at(0.5),
    p99_us: at(0.99),
  };
}

/**
 * The users of a recorded call, by raw ids. Ids outside the vocabularies become padding, which is ignored alike.
 * @param {Bundle} bundle
 * @param {GoldenCase} golden
 * @returns {User[]}
 */
function usersOf({ manifest, vocabularies }, { inputs: { history, items, context, ...others } }) {
  const names = manifest.model.context.map(({ name }) => name);
  const contextOf = (/** @type {(name: string, column: number) => any} */ category) =>
    Object.fromEntries(names.map((name, column) => [name, category(name, column)]));
  if (history) {
    return rowsOf(history).map((ids, row) => ({ history: ids, context: contextOf((name) => others[name].data[row]) }));
  }
  const tables = /** @type {Vocabularies} */ (vocabularies);
  const categories = context ? rowsOf(context) : [];
  return rowsOf(items).map((indices, row) => ({
    history: indices.map((index) => tables.items.raw(Number(index))),
    context: contextOf((name, column) => tables.context[name].raw(Number(categories[row][column]))),
  }));
}
