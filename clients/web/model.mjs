// @ts-check
/** The model in this browser: fetched and hashed once, then asked without any request. */

import { checkFiles, filesOf, formatOf, openBundle } from "./bundle.mjs";
import { fetchBytes, httpSource } from "./http.mjs";
import { kOf, recommended, userInputs } from "./inputs.mjs";
import { bench, goldenOf, verify } from "./replay.mjs";
import { Unsupported, WASM, opener, requireBrowser, startRuntime, versionOf } from "./runtime.mjs";
import { checkRuntime } from "./session.mjs";
import { messageOf } from "./text.mjs";
import { readVocabularies } from "./vocabulary.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { User } from "./inputs.mjs" */
/** @import { Ort } from "./runtime.mjs" */
/** @import { Session } from "./session.mjs" */
/** @import { Vocabularies } from "./vocabulary.mjs" */

const BUNDLE = new URL("bundle/", import.meta.url);
const NAMES = new URL("names.json", import.meta.url);
const ASKED = ["top_k", "score_candidates"];

/**
 * Fetch and check what is needed to recommend and to score.
 * @param {(done: number, total: number) => void} onProgress  bytes
 * @returns {Promise<Model>}
 */
export async function loadModel(onProgress) {
  requireBrowser();
  let [done, total] = [0, 0];
  const onBytes = (/** @type {number} */ bytes) => onProgress((done += bytes), total);
  const source = httpSource(BUNDLE, { onBytes });
  /** @type {Bundle} */
  const bundle = await openBundle(source);
  const { manifest } = bundle;
  const record = formatOf(manifest, "onnx");
  const paths = ["vocabulary.json", ...filesOf(manifest, record, ASKED)];
  for (const path of [...paths, goldenOf(record, "top_k")]) source.keeps.add(path);
  total = manifest.files.reduce((sum, { path, bytes }) => sum + (paths.includes(path) ? bytes : 0), done);
  const wanted = [fetchBytes(WASM, { onBytes, onLength: (length) => (total += length) }), fetchBytes(NAMES)];
  const [[wasm, names]] = await Promise.all([Promise.all(wanted), checkFiles(bundle, paths)]);
  const ort = await startRuntime(wasm);
  checkRuntime(bundle, versionOf(ort));
  const vocabularies = await readVocabularies(source);
  const open = opener(ort, bundle);
  const sessions = { ranking: await open("top_k"), scoring: await open("score_candidates") };
  const files = source.files().set(WASM, wasm).set(NAMES, names);
  return new Model(ort, { ...bundle, vocabularies }, sessions, namesOf(names), files);
}

export class Model {
  /**
   * @param {Ort} ort
   * @param {Bundle & { vocabularies: Vocabularies }} bundle
   * @param {{ ranking: Session, scoring: Session }} sessions
   * @param {Record<string, string>} names  of items, by id
   * @param {Map<URL, Uint8Array<ArrayBuffer> | null>} files  what a reload without a server needs, verified
   */
  constructor(ort, bundle, sessions, names, files) {
    this.ort = ort;
    this.bundle = bundle;
    this.sessions = sessions;
    this.names = names;
    this.files = files;
    /** @type {Promise<unknown>} */
    this.last = Promise.resolve();
  }

  get runtime() {
    return `onnxruntime-web ${versionOf(this.ort)}`;
  }

  /** The most items that may be asked for; null where the bundle fixes how many it gives. */
  get maxK() {
    return this.sessions.ranking.signature.max_k;
  }

  /** @param {User} user */
  recommend(user) {
    return this.inTurn(async () => {
      const { signature, run } = this.sessions.ranking;
      const started = performance.now();
      const inputs = userInputs(this.bundle, signature, { ...user, k: kOf(signature, user.k) });
      const answer = recommended(this.bundle, signature, await run(inputs));
      return { ...answer, ms: performance.now() - started };
    });
  }

  /** @param {User} user  with candidates; -Infinity is the score of one that the model does not know */
  score(user) {
    return this.inTurn(async () => {
      const { signature, run } = this.sessions.scoring;
      const answer = await run(userInputs(this.bundle, signature, user));
      return Array.from(answer.scores.data, Number);
    });
  }

  /**
   * Fetch every file of the manifest anew, hash it, and replay all golden calls.
   * @param {(step: string) => Promise<void>} tell
   */
  async verify(tell) {
    const source = httpSource(BUNDLE, { cache: "no-store" }); // from the server, whatever this browser has kept
    const bundle = await openBundle(source);
    const record = formatOf(bundle.manifest, "onnx");
    const golden = Object.keys(record.entries).map((name) => goldenOf(record, name));
    for (const path of [...filesOf(bundle.manifest, record), ...golden]) source.keeps.add(path);
    return verify(bundle, versionOf(this.ort), opener(this.ort, bundle), tell);
  }

  /**
   * Time a golden case, which is fetched for it.
   * @param {(done: number) => Promise<void>} tell
   */
  bench(tell) {
    return this.inTurn(async () => {
      await checkFiles(this.bundle, [goldenOf(formatOf(this.bundle.manifest, "onnx"), "top_k")]);
      const measured = await bench(this.bundle, this.sessions.ranking, { case: "full", calls: 2000 }, tell);
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

/**
 * @param {Uint8Array<ArrayBuffer> | null} bytes
 * @returns {Record<string, string>}  by id
 */
function namesOf(bytes) {
  try {
    return bytes ? JSON.parse(new TextDecoder().decode(bytes)) : {};
  } catch (error) {
    throw new Unsupported(`names.json is not JSON (${messageOf(error)}).`, 'Give such as {"7": "Bananas"}, or none.');
  }
}
