// @ts-check
/** The stopwatch: a golden call, from raw ids to raw ids and scores. */

import { InputError } from "../errors.mjs";
import { GROUPS, namesOf, vocabulariesOf } from "../groups.mjs";
import { mainSignature } from "../manifest/manifest.mjs";
import { readGolden } from "./golden.mjs";

/** @import { Bundle } from "../bundle.mjs" */
/** @import { Group } from "../groups.mjs" */
/** @import { User } from "../inputs.mjs" */
/** @import { Vocabulary } from "../vocabulary.mjs" */
/** @import { GoldenCase } from "./golden.mjs" */

const WARM_UP_CALLS = 20;

/**
 * Time calls of `top_k`, of a click model those of `score_candidates`, one after the other. Where the format is at index level, ids are looked up within the call.
 * @param {Bundle} bundle
 * @param {{ case: string, calls: number }} options
 * @param {(done: number) => void | Promise<void>} [tell]  now and then, between two calls
 */
export async function bench(bundle, options, tell = () => {}) {
  const signature = mainSignature(bundle.manifest);
  const golden = await readGolden(bundle, signature);
  if (!golden) {
    throw new InputError(`the golden calls of ${signature} were left out, which are timed here; restore golden/`);
  }
  const chosen = golden.find((call) => call.name === options.case);
  if (!chosen) {
    const names = golden.map((call) => call.name).join(", ");
    throw new InputError(`--case '${options.case}' is not a golden case of ${signature}; known: ${names}`);
  }
  const users = usersOf(bundle, chosen);
  const k = chosen.inputs.k && Number(chosen.inputs.k.data[0]);
  /** @type {number[]} */
  const times = [];
  for (let call = -WARM_UP_CALLS; call < options.calls; call += 1) {
    if (call % 500 === 0) await tell(Math.max(call, 0));
    const started = performance.now();
    await (signature === "top_k" ? bundle.recommendAll(users, k) : bundle.scoreAll(users));
    if (call >= 0) times.push(1000 * (performance.now() - started));
  }
  times.sort((one, other) => one - other);
  const at = (/** @type {number} */ share) => Math.round(10 * times[Math.ceil(share * times.length) - 1]) / 10;
  return {
    format: "onnx",
    signature,
    case: options.case,
    rows: users.length,
    length: (chosen.inputs.history ?? chosen.inputs.items).dims[1],
    ...(chosen.inputs.candidates && { candidates: chosen.inputs.candidates.dims[1] }),
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
function usersOf({ manifest, vocabularies }, { inputs }) {
  const { model } = manifest;
  const raw = "history" in inputs;
  const history = raw ? inputs.history : inputs.items;
  const [batch, length] = history.dims;
  /** @type {(value: any, vocabulary?: Vocabulary) => any} */
  const rawOf = (value, vocabulary) => (raw || !vocabulary ? value : vocabulary.raw(Number(value)));
  /** @type {(group: Group, row: number) => [string, any][]} */
  const valuesOf = (group, row) => {
    const names = namesOf(group, model);
    const tables = vocabularies ? vocabulariesOf(group, vocabularies) : {};
    const size = { request: 1, event: length, candidate: inputs.candidates?.dims[1] ?? 0 }[group.of];
    if (group.of === "candidate" && !inputs.candidates) return [];
    return names.map((name, column) => {
      const [input, first, step] = raw || !group.stacked ? [name, 0, 1] : [group.name, column, names.length];
      const { data } = inputs[input];
      const values = Array.from({ length: size }, (_, at) => rawOf(data[(row * size + at) * step + first], tables[name]));
      return [name, group.of === "request" ? values[0] : values];
    });
  };
  const candidatesOf = (/** @type {number} */ row) => {
    const { dims: [, count] = [0, 0], data = [] } = inputs.candidates ?? {};
    return [...data.slice(row * count, (row + 1) * count)].map((id) => rawOf(id, vocabularies?.items));
  };
  const ofRow = (/** @type {number} */ row, /** @type {Group["of"]} */ of) =>
    Object.fromEntries(GROUPS.filter((group) => group.of === of).flatMap((group) => valuesOf(group, row)));
  return Array.from({ length: batch }, (_, row) => ({
    history: [...history.data.slice(row * length, (row + 1) * length)].map((id) => rawOf(id, vocabularies?.items)),
    context: ofRow(row, "request"),
    events: ofRow(row, "event"),
    candidateFeatures: ofRow(row, "candidate"),
    candidates: candidatesOf(row),
  }));
}
