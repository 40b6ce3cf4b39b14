// @ts-check
/** ONNX Runtime Web: one thread, WebAssembly, from files of this origin. */

import { filesOf, formatOf } from "@bst/core";

/** @import { Manifest, Runtime, Source } from "@bst/core" */

/** @typedef {typeof import("onnxruntime-web")} Ort */

const FOLDER = new URL("ort/", import.meta.url);
export const WASM = new URL("ort-wasm-simd-threaded.wasm", FOLDER);

/** A requirement of the page is missing. */
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

/**
 * Load graphs from bytes, and beside each the weights that it names.
 * @param {Ort} ort
 * @param {{ source: Source, manifest: Manifest }} bundle
 * @returns {Runtime}
 */
export function wasmRuntime(ort, { source, manifest }) {
  const beside = filesOf(manifest, formatOf(manifest, "onnx"), []);
  return {
    version: ort.env.versions.web ?? ort.env.versions.common,
    Tensor: ort.Tensor,
    load: async (path) => {
      const folder = path.lastIndexOf("/") + 1;
      const externalData = await Promise.all(
        beside.map(async (one) => ({ path: one.slice(folder), data: await source.read(one) })),
      );
      return ort.InferenceSession.create(await source.read(path), { logSeverityLevel: 4, externalData });
    },
  };
}
