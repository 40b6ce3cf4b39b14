// @ts-check
/** The content of `manifest.json`, checked by the rules of `docs/reference/manifest.md`. */

import { readJson } from "../contents.mjs";
import { InputError } from "../errors.mjs";
import { parseExactJson } from "../text.mjs";
import { readFields } from "./fields.mjs";
import { offencesOf } from "./rules.mjs";
import { MANIFEST } from "./schema.mjs";

/** @import { Source } from "../contents.mjs" */

const VERSION = /^(0|[1-9]\d*)\.(0|[1-9]\d*)$/;
const MAJOR = "4"; // a later minor adds fields, which are ignored
const OF_CATALOGUES = ["all_scores", "top_k"]; // a click model has none of these
const DEFAULTS_OF_CLICKS = { pooling: "target", tied_output: false };

/**
 * @typedef {"int64" | "float32" | "string"} Dtype
 * @typedef {{ name: string, dtype: Dtype, shape: (number | string)[] }} TensorSpec
 * @typedef {"raw" | "index"} Ids
 * @typedef {{ name: string, ids: Ids, inputs: TensorSpec[], outputs: TensorSpec[], max_k: number | null }} Signature
 * @typedef {{ path: string, bytes: number, sha256: string }} FileRecord
 * @typedef {{ dtype: "int64" | "string", count: number, padding: number | bigint | string, named: boolean }} VocabularyFacts
 * @typedef {{ threads: number | null, spinning: boolean, arena: boolean, prepacking: boolean }} SessionOptions
 *
 * @typedef {object} FormatRecord
 * @property {string} name
 * @property {Ids} ids
 * @property {Record<string, { path: string }>} entries  by signature
 * @property {string} golden
 * @property {{ at_least?: Record<string, string>, remarks?: string[] }} needs
 *
 * @typedef {{ path: string, offset: number, shape: number[] }} TensorPlace
 *
 * @typedef {object} Model  the parts of it that are read here
 * @property {"next_item" | "click"} task
 * @property {number} dim
 * @property {number} num_heads
 * @property {number[]} head_widths
 * @property {boolean} tied_output
 * @property {string} padding
 * @property {string} pooling
 * @property {number} max_length
 * @property {number} num_items
 * @property {{ name: string, num_categories: number }[]} context
 * @property {{ name: string, num_categories: number }[]} event_features
 * @property {"none" | "to_next" | "to_request"} event_times
 * @property {{ name: string }[]} numbers
 * @property {{ name: string, num_categories: number }[]} candidate_features
 * @property {"absent" | "row"} unknown_items
 * @property {string} candidate_vectors
 * @property {string} longer_histories
 * @property {string[]} head_activations
 * @property {{ name: string, dim: number }[]} sequences  of items, others than the history
 * @property {{ name: string }[]} item_features
 * @property {{ name: string }[]} item_numbers
 * @property {string} places
 * @property {string} mask
 * @property {number | null} feature_dim
 * @property {number | null} place_dim
 *
 * @typedef {object} Manifest  likewise
 * @property {string} schema_version
 * @property {{ ids: Ids }} settings
 * @property {Signature[]} signatures
 * @property {FormatRecord[]} formats
 * @property {FileRecord[]} files
 * @property {Model} model
 * @property {VocabularyFacts} items
 * @property {Record<string, VocabularyFacts>} context
 * @property {Record<string, VocabularyFacts>} events
 * @property {Record<string, VocabularyFacts>} candidate_features
 * @property {string} weights
 * @property {{ weights: TensorPlace, biases: TensorPlace, first_row: number } | null} output_layer
 * @property {{ options: SessionOptions } | null} tuning
 * @property {number} tolerance
 */

/**
 * Read and judge the manifest; the other files are checked by `checkFiles`.
 * @param {Source} source
 * @returns {Promise<Manifest>}
 */
export async function readManifest(source) {
  const values = await readJson(source, "manifest.json", parseExactJson);
  const version = values?.schema_version;
  if (typeof version !== "string" || VERSION.exec(version)?.[1] !== MAJOR) {
    const shown = typeof version === "string" ? `'${version}'` : (version ?? "None");
    throw new InputError(`${source.name}: schema_version=${shown}, this version reads ${MAJOR}.*; export again`);
  }
  /** @type {string[]} */
  const offences = [];
  if (values.model?.task === "click") values.model = { ...DEFAULTS_OF_CLICKS, ...values.model };
  const manifest = readFields(MANIFEST, values, "", offences);
  if (!offences.length) offences.push(...offencesOf(manifest));
  if (offences.length) throw new InputError(`${source.name}/manifest.json: ${offences.join("; ")}; export again`);
  return manifest;
}

/**
 * @param {Manifest} manifest
 * @param {string} name
 */
export function formatOf(manifest, name) {
  const record = manifest.formats.find((one) => one.name === name);
  if (record) return record;
  const held = manifest.formats.map((one) => one.name).join(", ");
  throw new InputError(`format '${name}' is not in the bundle; it holds ${held}`);
}

/**
 * The signature that answers what the model is trained for.
 * @param {Manifest} manifest
 */
export function mainSignature({ model: { task } }) {
  return task === "click" ? "score_candidates" : "top_k";
}

/**
 * @param {Manifest} manifest
 * @param {string} name
 * @param {Ids} ids
 */
export function signatureOf(manifest, name, ids) {
  const ofLevel = manifest.signatures.filter((other) => other.ids === ids);
  const signature = ofLevel.find((other) => other.name === name);
  if (signature) return signature;
  const { task } = manifest.model;
  if (task === "click" && OF_CATALOGUES.includes(name)) {
    throw new InputError(
      `signature '${name}' needs scores of a whole catalogue, and a model of task '${task}' scores the candidates that ` +
        "a caller lists; ask for score_candidates",
    );
  }
  throw new InputError(`signature '${name}' is not in the bundle; known: ${ofLevel.map((other) => other.name).join(", ")}`);
}
