// @ts-check
/** ONNX Runtime Web: one thread, WebAssembly, from files of this origin. */

import { filesOf, formatOf } from "./bundle.mjs";
import { openSession } from "./session.mjs";

/** @import { Bundle } from "./bundle.mjs" */
/** @import { Open } from "./session.mjs" */

/** @typedef {typeof import("onnxruntime-web")} Ort */

const FOLDER = new URL("ort/", import.meta.url);
export const WASM = new URL("ort-wasm-simd-threaded.wasm", FOLDER);

/** What the page cannot do without is not here. */
export class Unsupported extends Error {
  /**
   * @param {string} message
   * @param {string} remedy
   */
  constructor(message, remedy) {
    super(message);
    this.remedy = remedy;
  }
}

export function requireBrowser() {
  if (typeof WebAssembly !== "object") {
    const remedy = "Take a current browser, or switch off the mode that forbids WebAssembly.";
    throw new Unsupported("This browser has no WebAssembly.", remedy);
  }
  if (!globalThis.crypto?.subtle) {
    throw new Unsupported("This browser gives SHA-256 to https and localhost alone.", "Open the page over https.");
  }
}

/**
 * @param {Uint8Array<ArrayBuffer> | null} wasm  the file at `WASM`
 * @returns {Promise<Ort>}
 */
export async function startRuntime(wasm) {
  if (!wasm) {
    const remedy = "Copy the three files that the README names from node_modules/onnxruntime-web/dist into ort/.";
    throw new Unsupported("ONNX Runtime is not on the server: ort/ lacks it.", remedy);
  }
  /** @type {Ort} */
  const ort = await import(new URL("ort.wasm.min.mjs", FOLDER).href);
  ort.env.wasm.wasmPaths = FOLDER.href;
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.numThreads = 1; // more would need a worker each, and wait for one another on a model of this size
  return ort;
}

/** @param {Ort} ort */
export function versionOf(ort) {
  return ort.env.versions.web ?? ort.env.versions.common;
}

/**
 * Load signatures from bytes: the graph, and beside it the weights that it names.
 * @param {Ort} ort
 * @param {Bundle} bundle
 * @returns {Open}
 */
export function opener(ort, bundle) {
  const { source, manifest } = bundle;
  const beside = filesOf(manifest, formatOf(manifest, "onnx"), []);
  return (name) =>
    openSession(ort, bundle, name, async (path) => {
      const folder = path.lastIndexOf("/") + 1;
      const externalData = await Promise.all(
        beside.map(async (one) => ({ path: one.slice(folder), data: await source.read(one) })),
      );
      return ort.InferenceSession.create(await source.read(path), { logSeverityLevel: 4, externalData });
    });
}
