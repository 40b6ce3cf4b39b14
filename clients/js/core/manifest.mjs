// @ts-check
/** What `manifest.json` states, and what a manifest must not state. */

import { readJson } from "./contents.mjs";
import { InputError, messageOf } from "./errors.mjs";
import { pythonic } from "./text.mjs";

/** @import { Source } from "./contents.mjs" */

const SCHEMA_VERSION = 3;
const MAX_TOLERANCE = 1e-5; // of the largest score; a manifest may be stricter, never laxer

/**
 * @typedef {"int64" | "float32" | "string"} Dtype
 * @typedef {{ name: string, dtype: Dtype, shape: (number | string)[] }} TensorSpec
 * @typedef {"raw" | "index"} Ids
 * @typedef {{ name: string, ids: Ids, inputs: TensorSpec[], outputs: TensorSpec[], max_k: number | null }} Signature
 * @typedef {{ path: string, bytes: number, sha256: string }} FileRecord
 * @typedef {{ dtype: "int64" | "string", count: number, padding: number | string }} VocabularyFacts
 * @typedef {{ threads: number | null, spinning: boolean, arena: boolean, prepacking: boolean }} SessionOptions
 *
 * @typedef {object} FormatRecord
 * @property {string} name
 * @property {Ids} ids
 * @property {Record<string, { path: string }>} entries  by signature
 * @property {string} golden
 * @property {{ at_least: Record<string, string>, remarks: string[] }} needs
 *
 * @typedef {object} Manifest  the parts of `manifest.json` that are read here
 * @property {number} schema_version
 * @property {Signature[]} signatures
 * @property {FormatRecord[]} formats
 * @property {FileRecord[]} files
 * @property {{ max_length: number, num_items: number, context: { name: string }[] }} model
 * @property {VocabularyFacts} items
 * @property {Record<string, VocabularyFacts>} context
 * @property {{ weights: { path: string }, biases: { path: string } } | null} output_layer
 * @property {{ options: SessionOptions } | null} tuning
 * @property {number} tolerance
 */

/**
 * Read and check the manifest; the other files are checked by `checkFiles`.
 * @param {Source} source
 * @returns {Promise<Manifest>}
 */
export async function readManifest(source) {
  const manifest = await readJson(source, "manifest.json");
  const found = manifest?.schema_version;
  if (found !== SCHEMA_VERSION) {
    const told = typeof found === "string" ? `'${found}'` : (found ?? "None");
    throw new InputError(`${source.name}: schema_version=${told}, this version reads ${SCHEMA_VERSION}; export again`);
  }
  const offences = missingFields(manifest).map((name) => `${name} is missing`);
  try {
    if (!offences.length) offences.push(...offencesOf(manifest));
  } catch (error) {
    offences.push(`it is not what \`bst export\` writes (${messageOf(error)})`);
  }
  if (offences.length) throw new InputError(`${source.name}/manifest.json: ${offences.join("; ")}; export again`);
  return manifest;
}

/** @param {any} manifest */
function missingFields(manifest) {
  const read = ["signatures", "formats", "files", "model", "items", "context", "output_layer", "tuning", "tolerance"];
  return read.filter((name) => !(name in manifest));
}

/**
 * Say what a manifest must not state: nothing to replay, a bound of its own, files that no hash is stated of.
 * @param {Manifest} manifest
 */
function offencesOf(manifest) {
  const listed = new Set(manifest.files.map(({ path }) => path));
  const named = new Set(
    manifest.formats.flatMap(({ entries, golden }) =>
      Object.entries(entries).flatMap(([name, { path }]) => [path, `${golden}/${name}.json`]),
    ),
  );
  const layer = manifest.output_layer;
  if (layer) named.add(layer.weights.path).add(layer.biases.path);
  const found = [...named]
    .filter((path) => !listed.has(path))
    .sort()
    .map((path) => `${path} is not among its files`);
  found.push(
    ...[...listed]
      .filter((path) => !isInside(path))
      .sort()
      .map((path) => `${path} leads out of the bundle`),
  );
  if (!manifest.formats.length || !manifest.formats.every(({ entries }) => Object.keys(entries).length)) {
    found.push("it holds no format or no signature");
  }
  if (!(manifest.tolerance > 0 && manifest.tolerance <= MAX_TOLERANCE)) {
    found.push(`tolerance=${manifest.tolerance} is not above 0 and at most ${pythonic(MAX_TOLERANCE, 0)}`);
  }
  return found;
}

/** @param {string} path */
function isInside(path) {
  return !path.startsWith("/") && !path.split("/").includes("..") && !path.includes("\\");
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
 * @param {Manifest} manifest
 * @param {string} name
 * @param {Ids} ids
 */
export function signatureOf(manifest, name, ids) {
  const found = manifest.signatures.filter((one) => one.ids === ids);
  const signature = found.find((one) => one.name === name);
  if (signature) return signature;
  throw new InputError(`signature '${name}' is not in the bundle; known: ${found.map((one) => one.name).join(", ")}`);
}
