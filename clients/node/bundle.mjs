// @ts-check
/**
 * A bundle: its manifest and the hashes of its files. Runs in Node and in a browser; where the bytes come from is
 * injected as a `Source`.
 */

import { messageOf, parseJson, pythonic } from "./text.mjs";

/** @import { Vocabularies } from "./vocabulary.mjs" */

export const MAJOR = "4."; // a later minor adds fields, which are ignored
const MAX_TOLERANCE = 1e-5; // of the largest score; a manifest may be stricter, never laxer
const AT_ONCE = 16; // files that are hashed side by side
const WHAT = "a bundle (a folder that `bst export` writes)";

/** Something that the user gave cannot be used. The message names the value and the remedy. */
export class InputError extends Error {}

/** A file is not what it was, or numbers differ. */
export class CheckError extends Error {}

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
 * @property {string} schema_version
 * @property {Signature[]} signatures
 * @property {FormatRecord[]} formats
 * @property {FileRecord[]} files
 * @property {{ max_length: number, num_items: number, context: { name: string }[] }} model
 * @property {VocabularyFacts} items
 * @property {Record<string, VocabularyFacts>} context
 * @property {{ weights: { path: string }, biases: { path: string } } | null} output_layer
 * @property {{ options: SessionOptions } | null} tuning
 * @property {number} tolerance
 *
 * @typedef {object} Source  where the files are; paths are those of the manifest
 * @property {string} name  what messages call the bundle
 * @property {(path: string) => Promise<Uint8Array>} read  rejects with the reason if the file cannot be read
 * @property {(path: string) => Promise<{ bytes: number, sha256: string } | null>} digest  null: there is no such file
 * @property {() => Promise<string[]>} [list]  every file but the manifest, where that can be known
 *
 * @typedef {{ source: Source, manifest: Manifest, vocabularies?: Vocabularies }} Bundle
 */

/**
 * Read and check the manifest; the other files are checked by `checkFiles`.
 * @param {Source} source
 * @returns {Promise<Bundle>}
 */
export async function openBundle(source) {
  const manifest = await readJson(source, "manifest.json");
  const found = manifest?.schema_version;
  if (typeof found !== "string" || !found.startsWith(MAJOR)) {
    const told = typeof found === "string" ? `'${found}'` : (found ?? "None");
    throw new InputError(`${source.name}: schema_version=${told}, this version reads ${MAJOR}*; export again`);
  }
  const offences = missingFields(manifest).map((name) => `${name} is missing`);
  try {
    if (!offences.length) offences.push(...offencesOf(manifest));
  } catch (error) {
    offences.push(`it is not what \`bst export\` writes (${messageOf(error)})`);
  }
  if (offences.length) throw new InputError(`${source.name}/manifest.json: ${offences.join("; ")}; export again`);
  return { source, manifest };
}

/**
 * @param {Source} source
 * @param {string} path
 * @returns {Promise<any>}
 */
export async function readJson(source, path) {
  let bytes;
  try {
    bytes = await source.read(path);
  } catch (error) {
    throw new InputError(`${source.name} is not ${WHAT}: ${path} cannot be read (${messageOf(error)})`, {
      cause: error,
    });
  }
  try {
    return parseJson(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new InputError(`${source.name} is not ${WHAT}: ${path} is not JSON (${messageOf(error)})`);
  }
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
 * Compare files with the manifest: those that are missing, altered or not listed are all named in one `CheckError`.
 * @param {Bundle} bundle
 * @param {string[]} [paths]  which, and whether others lie beside them; all, if not given
 */
export async function checkFiles({ source, manifest }, paths) {
  const stated = manifest.files.filter(({ path }) => !paths || paths.includes(path));
  const listed = new Set(manifest.files.map(({ path }) => path));
  /** @type {Map<string, { bytes: number, sha256: string } | null>} */
  const found = new Map();
  for (let first = 0; first < stated.length; first += AT_ONCE) {
    const some = stated.slice(first, first + AT_ONCE);
    await Promise.all(some.map(async ({ path }) => found.set(path, await source.digest(path))));
  }
  const missing = [];
  const altered = [];
  const folders = paths && new Set(paths.map(folderOf));
  const there = ((await source.list?.()) ?? []).filter((path) => !folders || folders.has(folderOf(path)));
  const others = new Set([...(paths ?? []), ...there].filter((path) => !listed.has(path)));
  for (const { path, bytes, sha256 } of stated) {
    const file = found.get(path);
    if (!file) missing.push(`${path} is missing`);
    else if (file.sha256 !== sha256 || file.bytes !== bytes) {
      altered.push(`${path} is altered: sha256 ${file.sha256}, the manifest says ${sha256}`);
    }
  }
  const offences = [...missing, ...[...others].map((path) => `${path} is not in the manifest`), ...altered];
  if (offences.length) {
    throw new CheckError(`${source.name}: ${offences.join("; ")}; export again or restore the files`);
  }
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

/** @param {string} path */
function folderOf(path) {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

/**
 * The files that signatures of a format are loaded from: their own, and what lies beside them (the weights).
 * @param {Manifest} manifest
 * @param {FormatRecord} record
 * @param {string[]} [names]  of the signatures, all if not given
 */
export function filesOf({ files }, { entries }, names = Object.keys(entries)) {
  const graphs = new Set(Object.values(entries).map(({ path }) => path));
  const folders = new Set([...graphs].map(folderOf));
  for (const name of names) graphs.delete(entries[name].path);
  return files.map(({ path }) => path).filter((path) => folders.has(folderOf(path)) && !graphs.has(path));
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
