#!/usr/bin/env node
// @ts-check
/** A bundle in Node: recommend, score, verify, bench. One line of JSON on stdout, errors in one line on stderr. */

import { join } from "node:path";

import { USAGE, parse, wholeNumber } from "./arguments.mjs";
import { CheckError, InputError, checkFiles, filesOf, formatOf, openBundle, signatureOf } from "./bundle.mjs";
import { folderSource } from "./files.mjs";
import { contextOf, idOf, kOf, recommended, userInputs } from "./inputs.mjs";
import { bench, verify } from "./replay.mjs";
import { checkRuntime, openSession } from "./session.mjs";
import { messageOf, toJson } from "./text.mjs";
import { readVocabularies } from "./vocabulary.mjs";

/** @import { Options } from "./arguments.mjs" */
/** @import { Bundle, Manifest } from "./bundle.mjs" */
/** @import { Open } from "./session.mjs" */

/** @typedef {import("onnxruntime-node").InferenceSession.SessionOptions} OrtOptions */

/** @param {string[]} argv */
async function main(argv) {
  if (argv.includes("--help") || argv.includes("-h")) return console.log(USAGE);
  const { command, folder, options } = parse(argv);
  process.env.ORT_DISABLE_TELEMETRY ??= "1"; // its native library reports to Microsoft otherwise
  const ort = await import("onnxruntime-node").catch(() => {
    throw new InputError(
      "onnxruntime-node is not installed; run `npm ci --ignore-scripts` in the folder of this client",
    );
  });
  const bundle = await openBundle(await folderSource(folder));
  const version = ort.env.versions.node ?? ort.env.versions.common;
  /**
   * @param {string} name
   * @param {OrtOptions} [given]
   */
  const open = (name, given = {}) => {
    const load = (/** @type {string} */ path) =>
      ort.InferenceSession.create(join(folder, path), { logSeverityLevel: 4, ...given });
    return openSession(ort, bundle, name, load);
  };
  if (command === "verify") {
    const report = await verify(bundle, version, open);
    console.log(toJson(report));
    if (report.failure) throw new CheckError(report.failure);
    return;
  }
  await prepare(bundle, version);
  if (command === "bench") {
    const calls = wholeNumber(options.calls ?? "2000", "--calls");
    const session = await open("top_k", { intraOpNumThreads: 1, interOpNumThreads: 1 });
    const measured = await bench(bundle, session, { case: options.case ?? "full", calls });
    return console.log(toJson({ client: "node", runtime: `onnxruntime ${version}`, ...measured }));
  }
  const answer = command === "recommend" ? recommend : score;
  console.log(toJson(await answer(bundle, options, (name) => open(name, advised(bundle)))));
}

/**
 * Check what is about to be loaded: the files of the format, and the vocabulary where ids are looked up here.
 * @param {Bundle} bundle
 * @param {string} version
 */
async function prepare(bundle, version) {
  const record = formatOf(bundle.manifest, "onnx");
  const looksUp = record.ids === "index";
  await checkFiles(bundle, [...filesOf(bundle.manifest, record), ...(looksUp ? ["vocabulary.json"] : [])]);
  checkRuntime(bundle, version);
  if (looksUp) bundle.vocabularies = await readVocabularies(bundle.source);
}

/**
 * @param {Bundle} bundle
 * @param {Options} options
 * @param {Open} open
 */
async function recommend(bundle, options, open) {
  const { manifest } = bundle;
  const signature = signatureOf(manifest, "top_k", formatOf(manifest, "onnx").ids);
  const k = kOf(signature, options.k === undefined ? undefined : wholeNumber(options.k, "--k"));
  const inputs = userInputs(bundle, signature, { ...userOf(manifest, options), k });
  const session = await open("top_k");
  const { ids, scores } = recommended(bundle, signature, await session.run(inputs));
  return { item_ids: nativeIds(ids, manifest), scores };
}

/**
 * @param {Bundle} bundle
 * @param {Options} options
 * @param {Open} open
 */
async function score(bundle, options, open) {
  const { manifest } = bundle;
  const candidates = idsOf(manifest, options.candidates, "--candidates");
  if (!candidates.length) throw new InputError("--candidates is missing; give ids separated by commas");
  const signature = signatureOf(manifest, "score_candidates", formatOf(manifest, "onnx").ids);
  const inputs = userInputs(bundle, signature, { ...userOf(manifest, options), candidates });
  const answer = await (await open("score_candidates")).run(inputs);
  return { candidates: nativeIds(candidates, manifest), scores: Array.from(answer.scores.data) };
}

/**
 * @param {Manifest} manifest
 * @param {Options} options
 */
function userOf(manifest, { history, context = [] }) {
  const pairs = context.flatMap((one) => one.split(","));
  return { history: idsOf(manifest, history, "--history"), context: contextOf(pairs, manifest) };
}

/**
 * @param {Manifest} manifest
 * @param {string | undefined} text
 * @param {string} option
 */
function idsOf(manifest, text, option) {
  const parts = (text ?? "").split(",").map((part) => part.trim());
  return parts.filter(Boolean).map((part) => idOf(part, manifest.items, option));
}

/**
 * @param {string[]} ids
 * @param {Manifest} manifest
 */
function nativeIds(ids, { items }) {
  return items.dtype === "int64" ? ids.map(BigInt) : ids;
}

/**
 * The session options that were the fastest where the bundle was tuned (`bst export --tune`).
 * @param {Bundle} bundle
 * @returns {OrtOptions}
 */
function advised({ manifest: { tuning } }) {
  if (!tuning) return {};
  const { threads, spinning, arena, prepacking } = tuning.options;
  return {
    ...(threads ? { intraOpNumThreads: threads, interOpNumThreads: 1 } : {}),
    enableCpuMemArena: arena,
    extra: {
      session: { intra_op: { allow_spinning: spinning ? "1" : "0" }, disable_prepacking: prepacking ? "0" : "1" },
    },
  };
}

main(process.argv.slice(2)).catch((error) => {
  console.error(`error: ${messageOf(error)}`);
  process.exitCode = error instanceof CheckError ? 1 : 2;
});
