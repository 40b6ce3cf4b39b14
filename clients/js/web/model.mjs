// @ts-check
/** The model in this browser: fetched and hashed once, then called without any request. */

import {
  Bundle,
  VOCABULARY,
  bench,
  checkFiles,
  checkRuntime,
  filesOf,
  formatOf,
  goldenOf,
  mainSignature,
  readManifest,
  readVocabularies,
  sequenceNames,
  verify,
} from "@bst/core";
import { fetchBytes, httpSource } from "./http.mjs";
import { Unsupported, WASM, requireBrowser, startRuntime, wasmRuntime } from "./runtime.mjs";

/** @import { User, Vocabularies } from "@bst/core" */
/** @import { Ort } from "./runtime.mjs" */

const BUNDLE = new URL("bundle/", import.meta.url);
// The first recommends, but of a click model; without the second, the page scores no chosen items.
const ASKED = ["top_k", "score_candidates"];

/**
 * Fetch and check the files that are needed to recommend and to score.
 * @param {(done: number, total: number) => void} onProgress  bytes
 * @returns {Promise<Model>}
 */
export async function loadModel(onProgress) {
  requireBrowser();
  let [done, total] = [0, 0];
  const onBytes = (/** @type {number} */ bytes) => onProgress((done += bytes), total);
  const source = httpSource(BUNDLE, { onBytes });
  const manifest = await readManifest(source);
  const record = formatOf(manifest, "onnx");
  const names = ASKED.filter((name) => name in record.entries);
  const main = mainSignature(manifest);
  if (!names.includes(main)) {
    throw new Unsupported(`The bundle holds no ${main}, which answers.`, `Export it with ${main} in --signatures.`);
  }
  const others = sequenceNames(manifest.model);
  if (others.length) {
    throw new Unsupported(
      `The model reads ${others.join(", ")} beside the history, and this page picks one history.`,
      "Score it with another client: node client.mjs score BUNDLE --sequence NAME=ID,ID.",
    );
  }
  const paths = [VOCABULARY, ...filesOf(manifest, record, names)];
  for (const path of [...paths, goldenOf(record, main)]) source.keeps.add(path);
  total = manifest.files.reduce((sum, { path, bytes }) => sum + (paths.includes(path) ? bytes : 0), done);
  const fetched = fetchBytes(WASM, { onBytes, onLength: (length) => (total += length) });
  const [wasm] = await Promise.all([fetched, checkFiles({ source, manifest }, paths)]);
  const ort = await startRuntime(wasm);
  const runtime = wasmRuntime(ort, { source, manifest });
  checkRuntime({ source, manifest, runtime });
  const vocabularies = await readVocabularies(source);
  const bundle = new Bundle({ source, manifest, runtime, vocabularies });
  for (const name of names) await bundle.session(name);
  return new Model(ort, bundle, vocabularies, source.files().set(WASM, wasm));
}

/** @typedef {{ id: string, score: number }} Ranked  the score is a logit, or of a click model a probability */

export class Model {
  /**
   * @param {Ort} ort
   * @param {Bundle} bundle
   * @param {Vocabularies} vocabularies
   * @param {Map<URL, Uint8Array<ArrayBuffer> | null>} files  for a reload without a server, verified
   */
  constructor(ort, bundle, vocabularies, files) {
    this.ort = ort;
    this.bundle = bundle;
    this.vocabularies = vocabularies;
    this.files = files;
    /** @type {Promise<unknown>} */
    this.last = Promise.resolve();
  }

  get runtime() {
    return `onnxruntime-web ${this.bundle.runtime.version}`;
  }

  /** Whether the bundle scores items on request. */
  get scores() {
    return "score_candidates" in formatOf(this.bundle.manifest, "onnx").entries;
  }

  /** Whether it gives probabilities of chosen items, and recommends nothing. */
  get clicks() {
    return this.bundle.manifest.model.task === "click";
  }

  /** The largest k; null where the bundle has a fixed k, or recommends nothing. */
  get maxK() {
    return this.clicks ? null : this.bundle.signature("top_k").max_k;
  }

  /** @param {User & { k?: number }} user */
  recommend(user) {
    return this.inTurn(async () => {
      const started = performance.now();
      const { item_ids: ids, scores } = await this.bundle.recommend(user);
      return { ids: ids.map(String), scores, ms: performance.now() - started };
    });
  }

  /** @param {User} user  with candidates; -Infinity is the score of one that the model does not know */
  score(user) {
    return this.inTurn(async () => {
      const started = performance.now();
      const { scores, probabilities } = await this.bundle.score(user);
      return { scores, probabilities, ms: performance.now() - started };
    });
  }

  /**
   * Ask what the model can say: the best items, but of a click model, and chosen ones, best first.
   * @param {User & { k?: number }} user
   * @param {string[]} candidates
   * @returns {Promise<{ best: Ranked[], scored: Ranked[], ms: number | null }>}  null if nothing was asked
   */
  async answer(user, candidates) {
    const best = this.clicks ? null : await this.recommend(user);
    const chosen = candidates.length && this.scores ? await this.score({ ...user, candidates }) : null;
    // A candidate that the model does not know has no score, and no probability to be shown.
    const scored = (chosen?.scores ?? []).map((score, place) => ({
      id: candidates[place],
      score: Number.isFinite(score) ? (chosen?.probabilities?.[place] ?? score) : score,
    }));
    return {
      best: (best?.ids ?? []).map((id, place) => ({ id, score: best?.scores[place] ?? 0 })),
      scored: scored.sort((one, other) => other.score - one.score || 0),
      ms: (best ?? chosen)?.ms ?? null,
    };
  }

  /**
   * Fetch every file of the manifest anew, hash it, and replay all golden calls.
   * @param {(step: string) => Promise<void>} tell
   */
  async verify(tell) {
    const source = httpSource(BUNDLE, { cache: "no-store" }); // from the server, not from this browser's cache
    const manifest = await readManifest(source);
    const record = formatOf(manifest, "onnx");
    const golden = Object.keys(record.entries).map((name) => goldenOf(record, name));
    for (const path of [...filesOf(manifest, record), ...golden]) source.keeps.add(path);
    return verify({ source, manifest, runtime: wasmRuntime(this.ort, { source, manifest }) }, tell);
  }

  /**
   * Time a golden case, which is fetched for it.
   * @param {(done: number) => Promise<void>} tell
   */
  bench(tell) {
    return this.inTurn(async () => {
      const { manifest } = this.bundle;
      await checkFiles(this.bundle, [goldenOf(formatOf(manifest, "onnx"), mainSignature(manifest))]);
      const measured = await bench(this.bundle, { case: "full", calls: 2000 }, tell);
      return { client: "web", runtime: this.runtime, ...measured };
    });
  }

  /**
   * A session takes one call at a time: each waits for those before it.
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  inTurn(work) {
    const turn = this.last.then(work);
    this.last = turn.catch(() => {});
    return turn;
  }
}
