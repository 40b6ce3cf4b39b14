// @ts-check
/** One signature in ONNX Runtime. The runtime is injected: `onnxruntime-node` and `onnxruntime-web` have one API. */

import { CheckError, messageOf } from "./errors.mjs";
import { formatOf, signatureOf } from "./manifest/manifest.mjs";
import { axes, checkInputs } from "./tensors.mjs";

/** @import { InferenceSession, Tensor } from "onnxruntime-common" */
/** @import { Source } from "./contents.mjs" */
/** @import { Manifest, Signature, TensorSpec } from "./manifest/manifest.mjs" */
/** @import { Answer, Input } from "./tensors.mjs" */

/**
 * @typedef {object} Runtime  ONNX Runtime, and how it loads a graph of the bundle
 * @property {string} version
 * @property {typeof Tensor} Tensor
 * @property {(path: string) => Promise<InferenceSession>} load
 *
 * @typedef {object} Session
 * @property {Signature} signature
 * @property {(inputs: Record<string, Input>) => Promise<Answer>} run
 * @property {() => Promise<void>} release
 *
 * @typedef {{ source: Source, manifest: Manifest, runtime: Runtime }} Runnable
 */

/**
 * Load a signature, and refuse a file whose inputs, outputs or axes are not those of the manifest.
 * @param {Runnable} bundle
 * @param {string} name  of the signature
 * @returns {Promise<Session>}
 */
export async function openSession({ source, manifest, runtime }, name) {
  const record = formatOf(manifest, "onnx");
  const signature = signatureOf(manifest, name, record.ids);
  const path = record.entries[name].path;
  const loaded = await runtime.load(path).catch((error) => {
    throw new CheckError(`${source.name}/${path} does not load in ONNX Runtime (${messageOf(error)}); export again`);
  });
  try {
    checkFace(`${source.name}/${path}`, "input", signature.inputs, loaded.inputMetadata);
    checkFace(`${source.name}/${path}`, "output", signature.outputs, loaded.outputMetadata);
  } catch (error) {
    await loaded.release();
    throw error;
  }
  return {
    signature,
    run: async (inputs) => {
      checkInputs(signature, inputs);
      /** @type {Record<string, Tensor>} */
      const feeds = {};
      for (const [input, { dtype, data, dims }] of Object.entries(inputs)) {
        feeds[input] = new runtime.Tensor(/** @type {"int64"} */ (dtype), /** @type {BigInt64Array} */ (data), dims);
      }
      try {
        return /** @type {any} */ (await loaded.run(feeds));
      } catch (error) {
        throw new CheckError(`${name} fails in its runtime: ${messageOf(error)}`);
      }
    },
    release: () => loaded.release(),
  };
}

/**
 * @param {string} path
 * @param {"input" | "output"} kind
 * @param {TensorSpec[]} specs
 * @param {readonly InferenceSession.ValueMetadata[]} metadata
 */
function checkFace(path, kind, specs, metadata) {
  const actual = metadata
    .map((value) => (value.isTensor ? `${value.name} ${value.type} ${axes(value.shape)}` : value.name))
    .join(", ");
  const expected = specs.map((spec) => `${spec.name} ${spec.dtype} ${axes(spec.shape)}`).join(", ");
  if (actual !== expected) {
    throw new CheckError(`${path}: the ${kind}s are ${actual}, not ${expected}; export again`);
  }
}

/**
 * Refuse a runtime that is older than the files need.
 * @param {Runnable} bundle
 */
export function checkRuntime({ source, manifest, runtime: { version } }) {
  const least = formatOf(manifest, "onnx").needs.at_least?.onnxruntime;
  if (least && isOlder(version, least)) {
    throw new CheckError(`${source.name}: onnx needs onnxruntime ${least}, here is ${version}; update it`);
  }
}

/**
 * @param {string} version
 * @param {string} least
 */
function isOlder(version, least) {
  const [have, need] = [version, least].map((text) => text.split(".").map((part) => Number.parseInt(part, 10)));
  const place = need.findIndex((part, at) => part !== have[at]);
  return place >= 0 && !(have[place] > need[place]);
}
