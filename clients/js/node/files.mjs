// @ts-check
/** A bundle that lies in a folder. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";

import { InputError } from "@bst/core";

/** @import { Source } from "@bst/core" */

/**
 * @param {string} folder
 * @returns {Promise<Source>}
 */
export async function folderSource(folder) {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) {
    throw new InputError(`${folder} is not a bundle (a folder that \`bst export\` writes): there is no such folder`);
  }
  /** @type {Map<string, Buffer>} */
  const kept = new Map();
  const keeps = new Set();
  return {
    name: folder.replace(/(?<=.)\/+$/, ""),
    keeps,
    read: async (path) => kept.get(path) ?? readFile(join(folder, path)),
    digest: async (path) => {
      /** @type {Buffer[]} */
      const pieces = [];
      const found = await digest(folder, path, (piece) => keeps.has(path) && pieces.push(piece));
      if (found && keeps.has(path)) kept.set(path, Buffer.concat(pieces));
      return found;
    },
    list: (inner) => list(join(folder, inner)),
  };
}

/**
 * In pieces: the weights may be larger than memory.
 * @param {string} folder
 * @param {string} path
 * @param {(piece: Buffer) => void} onPiece
 */
async function digest(folder, path, onPiece) {
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    const place = join(folder, path);
    const found = await stat(place);
    if (!found.isFile()) return { bytes: found.size };
    await pipeline(createReadStream(place), async (pieces) => {
      for await (const piece of pieces) {
        hash.update(piece);
        bytes += piece.length;
        onPiece(piece);
      }
    });
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "ELOOP"].includes(/** @type {any} */ (error).code)) return null;
    throw error;
  }
  return { bytes, sha256: hash.digest("hex") };
}

/**
 * What lies in a folder; nothing, where it cannot be read.
 * @param {string} folder
 */
async function list(folder) {
  const found = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return Promise.all(
    found.map(async (entry) => {
      const isLink = entry.isSymbolicLink();
      const leadsTo = isLink && (await stat(join(folder, entry.name)).catch(() => null));
      return { name: entry.name, isFolder: leadsTo ? leadsTo.isDirectory() : entry.isDirectory(), isLink };
    }),
  );
}
