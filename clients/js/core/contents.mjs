// @ts-check
/** The files of a bundle: the source of their bytes, their list, and their comparison with the manifest. */

import { CheckError, InputError, messageOf } from "./errors.mjs";
import { parseJson } from "./text.mjs";

/** @import { FileRecord, FormatRecord, Manifest } from "./manifest/manifest.mjs" */

const AT_ONCE = 16; // files that are hashed side by side
const SHOWN = 5; // of the parts of a message
const CARD = "README.md";
const MISSING = "is missing";
const WHAT = "a bundle (a folder that `bst export` writes)";

/**
 * @typedef {object} Source  where the files are; paths are those of the manifest
 * @property {string} name  of the bundle in messages
 * @property {Set<string>} keeps  paths whose bytes stay in memory once hashed, so that nothing else is read later
 * @property {(path: string) => Promise<Uint8Array>} read  rejects with the reason if the file cannot be read
 * @property {(path: string) => Promise<{ bytes: number, sha256?: string } | null>} digest  null: there is nothing of
 *   that name; without a hash it is no file
 * @property {(folder: string) => Promise<{ name: string, isFolder: boolean, isLink: boolean }[]>} [list]  what lies in a
 *   folder, where that can be known; a link counts as its target
 */

/**
 * @param {Source} source
 * @param {string} path
 * @param {(bytes: Uint8Array) => any} [parse]
 * @returns {Promise<any>}
 */
export async function readJson(source, path, parse = parseJson) {
  const reasonOf = (/** @type {string} */ what) => (/** @type {unknown} */ error) => {
    const message = `${source.name} is not ${WHAT}: ${path} ${what} (${messageOf(error)})`;
    throw new InputError(message, { cause: error });
  };
  const bytes = await source.read(path).catch(reasonOf("cannot be read"));
  return Promise.resolve(bytes).then(parse).catch(reasonOf("is not JSON"));
}

/**
 * Compare files with the manifest. A link counts as its target. Golden vectors may be missing; the card may be edited
 * or missing. Other files that are missing or altered are an error, which names the first of them.
 * @param {{ source: Source, manifest: Manifest }} bundle
 * @param {string[]} [paths]  which; all, if not given
 * @returns {Promise<string[]>} a line for each allowed difference
 */
export async function checkFiles({ source, manifest }, paths) {
  const records = manifest.files.filter(({ path }) => !paths || paths.includes(path));
  /** @type {string[]} */
  const differences = [];
  for (let first = 0; first < records.length; first += AT_ONCE) {
    const some = records.slice(first, first + AT_ONCE);
    differences.push(...(await Promise.all(some.map((record) => differenceOf(source, record)))));
  }
  const listed = records.map(({ path }) => path);
  const offences = (paths ?? []).filter((path) => !listed.includes(path)).map((path) => `${path} is not in the manifest`);
  const notes = [];
  const leftOut = [];
  for (const [place, path] of listed.entries()) {
    const difference = differences[place];
    if (!difference || (path === CARD && difference === MISSING)) continue;
    if (path === CARD) notes.push(`${CARD} was edited since the export; it is text for people`);
    else if (difference === MISSING && path.startsWith("golden/")) leftOut.push(path);
    else offences.push(`${path} ${difference}`);
  }
  if (offences.length) {
    throw new CheckError(`${source.name}: ${shortened(offences, "; ")}; export again or restore the files`);
  }
  if (leftOut.length) notes.push(`left out, and not replayed: ${shortened(leftOut)}`);
  return notes;
}

/**
 * Describe the difference between a file and its record; empty, if there is none.
 * @param {Source} source
 * @param {FileRecord} record
 */
async function differenceOf(source, { path, bytes, sha256 }) {
  const actual = await source.digest(path);
  if (!actual) return MISSING;
  if (actual.sha256 === undefined) return "is not a file";
  if (actual.bytes !== bytes) {
    const [here, there] = [actual.bytes, bytes].map((number) => number.toLocaleString("en-US"));
    return `is altered: it has ${here} bytes, the manifest says ${there}`;
  }
  return actual.sha256 === sha256 ? "" : `is altered: sha256 ${actual.sha256}, the manifest says ${sha256}`;
}

/**
 * List the other files in the folder of the bundle; a folder that holds nothing of it once, with a trailing slash.
 * Empty, where that cannot be known.
 * @param {{ source: Source, manifest: Manifest }} bundle
 */
export async function strangersOf({ source, manifest }) {
  const listed = new Set(["manifest.json", ...manifest.files.map(({ path }) => path)]);
  const folders = new Set([...listed].flatMap(foldersOf));
  /** @type {string[]} */
  const strangers = [];
  const walk = async (/** @type {string} */ folder) => {
    for (const { name, isFolder, isLink } of (await source.list?.(folder)) ?? []) {
      const path = `${folder}${name}${isFolder ? "/" : ""}`;
      if (name.startsWith("..")) continue; // a mounted volume's own: ..data, ..2026_01
      if (isFolder && !folders.has(path)) strangers.push(path);
      else if (isFolder && !isLink) await walk(path);
      else if (!isFolder && !listed.has(path)) strangers.push(path);
    }
  };
  await walk("");
  return strangers.sort();
}

/**
 * Join the first five parts, and say how many more there are.
 * @param {string[]} parts
 */
export function shortened(parts, between = ", ") {
  const more = parts.length - SHOWN;
  return [...parts.slice(0, SHOWN), ...(more > 0 ? [`and ${more.toLocaleString("en-US")} more`] : [])].join(between);
}

/**
 * The folders that a path lies in, the outermost first, each with a slash behind it.
 * @param {string} path
 */
function foldersOf(path) {
  const parts = path.split("/");
  return parts.slice(1).map((_, place) => `${parts.slice(0, place + 1).join("/")}/`);
}

/**
 * List the files from which signatures of a format are loaded: their own, and those beside them (the weights).
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

/** @param {string} path */
function folderOf(path) {
  return path.slice(0, path.lastIndexOf("/") + 1);
}
