// @ts-check
/** ONNX Runtime's native library, on files of a folder. */

import { join } from "node:path";

import { InputError } from "@bst/core";

/** @import { Manifest, Runtime } from "@bst/core" */

/** @typedef {import("onnxruntime-node").InferenceSession.SessionOptions} Options */

/**
 * @param {string} folder
 * @param {Options} [options]
 * @returns {Promise<Runtime>}
 */
export async function nativeRuntime(folder, options) {
  process.env.ORT_DISABLE_TELEMETRY ??= "1"; // before the library is loaded, which reports to Microsoft otherwise
  const { env, InferenceSession, Tensor } = await import("onnxruntime-node").catch(() => {
    throw new InputError(
      "onnxruntime-node is not installed; run `npm ci --ignore-scripts` in the folder of the packages",
    );
  });
  return {
    version: env.versions.node ?? env.versions.common,
    Tensor,
    load: (path) => InferenceSession.create(join(folder, path), { logSeverityLevel: 4, ...options }),
  };
}

/**
 * The session options that were the fastest where the bundle was tuned (`bst export --tune`).
 * @param {Manifest} manifest
 * @param {number} [threads]  instead of what the manifest advises
 * @returns {Options}
 */
export function optionsOf({ tuning }, threads = tuning?.options.threads ?? undefined) {
  const few = threads ? { intraOpNumThreads: threads, interOpNumThreads: 1 } : {};
  if (!tuning) return few;
  const { spinning, arena, prepacking } = tuning.options;
  return {
    ...few,
    enableCpuMemArena: arena,
    extra: {
      session: { intra_op: { allow_spinning: spinning ? "1" : "0" }, disable_prepacking: prepacking ? "0" : "1" },
    },
  };
}
