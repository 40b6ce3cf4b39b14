// @ts-check
/** The recorded calls of a bundle. */

import { CheckError, messageOf } from "../errors.mjs";
import { formatOf, signatureOf } from "../manifest/manifest.mjs";
import { NAMES_OF_FLOATS, NULL_IS_NOTHING, tensorOf } from "../tensors.mjs";
import { parseJson } from "../text.mjs";

/** @import { Source } from "../contents.mjs" */
/** @import { FormatRecord, Manifest, TensorSpec } from "../manifest/manifest.mjs" */
/** @import { Answer, Input } from "../tensors.mjs" */

/** @typedef {{ name: string, inputs: Record<string, Input>, outputs: Answer }} GoldenCase */

const BESIDES = ["runner_up", "largest_score"]; // further arguments of `compare`

/**
 * @param {FormatRecord} record
 * @param {string} name  of the signature
 */
export function goldenOf(record, name) {
  return `${record.golden}/${name}.json`;
}

/**
 * Read the recorded calls of a signature; null, if they are missing.
 * @param {{ source: Source, manifest: Manifest }} bundle
 * @param {string} name
 * @returns {Promise<GoldenCase[] | null>}
 */
export async function readGolden({ source, manifest }, name) {
  const record = formatOf(manifest, "onnx");
  const path = goldenOf(record, name);
  const { inputs, outputs } = signatureOf(manifest, name, record.ids);
  if (!manifest.files.some((file) => file.path === path) || !(await source.digest(path))) return null;
  try {
    const cases = parseJson(await source.read(path))?.cases;
    if (!Array.isArray(cases)) throw new Error("it holds no list of cases");
    return cases.map((one) => {
      if (!one?.name || !one.inputs || !one.outputs) throw new Error("a case lacks its name, inputs or outputs");
      if (typeof one.name !== "string") throw new Error(`a case is called ${one.name}, which is no text`);
      const besides = BESIDES.filter((key) => key in one.outputs).map((key) => ({ name: key, dtype: float32 }));
      const answer = tensorsOf([...outputs, ...besides], one.outputs, NULL_IS_NOTHING);
      for (const { name: key } of besides) {
        const { dims } = answer[key];
        if (dims.length !== 1 || dims[0] !== answer[outputs[0].name].dims[0]) {
          throw new Error(`${key} of '${one.name}' is not one number a row`);
        }
      }
      return { name: one.name, inputs: tensorsOf(inputs, one.inputs, NAMES_OF_FLOATS), outputs: answer };
    });
  } catch (error) {
    throw new CheckError(`${source.name}/${path} is not a file of golden vectors (${messageOf(error)}); export again`);
  }
}

const float32 = /** @type {const} */ ("float32");

/**
 * @param {Pick<TensorSpec, "name" | "dtype">[]} specs
 * @param {Record<string, any>} given  nested lists
 * @param {Map<unknown, number>} floats  what stands for those that JSON lacks
 */
function tensorsOf(specs, given, floats) {
  return Object.fromEntries(specs.map((spec) => [spec.name, tensorOf(spec, given[spec.name], floats)]));
}
