// @ts-check
/** The files of a bundle: where their bytes come from, which there are, and whether they are those of the manifest. */

import { CheckError, InputError, messageOf } from "./errors.mjs";
import { parseJson } from "./text.mjs";

/** @import { FormatRecord, Manifest } from "./manifest/manifest.mjs" */

const AT_ONCE = 16; // files that are hashed side by side
const WHAT = "a bundle (a folder that `bst export` writes)";

/**
 * @typedef {object} Source  where the files are; paths are those of the manifest
 * @property {string} name  what messages call the bundle
 * @property {Set<string>} keeps  paths that stay in memory once hashed, so that what is read is what was hashed
 * @property {(path: string) => Promise<Uint8Array>} read  rejects with the reason if the file cannot be read
 * @property {(path: string) => Promise<{ bytes: number, sha256: string } | null>} digest  null: there is no such file
 * @property {() => Promise<string[]>} [list]  every file but the manifest, where that can be known
 */

/**
 * @param {Source} source
 * @param {string} path
 * @param {(bytes: Uint8Array) => any} [parse]
 * @returns {Promise<any>}
 */
export async function readJson(source, path, parse = parseJson) {
  const reasonOf = (/** @type {string} */ what) => (/** @type {unknown} */ error) => {
    const told = `${source.name} is not ${WHAT}: ${path} ${what} (${messageOf(error)})`;
    throw new InputError(told, { cause: error });
  };
  const bytes = await source.read(path).catch(reasonOf("cannot be read"));
  return Promise.resolve(bytes).then(parse).catch(reasonOf("is not JSON"));
}

/**
 * Compare files with the manifest: those that are missing, altered or not listed are all named in one `CheckError`.
 * @param {{ source: Source, manifest: Manifest }} bundle
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

/** @param {string} path */
function folderOf(path) {
  return path.slice(0, path.lastIndexOf("/") + 1);
}
