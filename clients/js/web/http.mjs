// @ts-check
/** A bundle beside this page, fetched and hashed here. Files outside its manifest cannot be seen over HTTP. */

/** No answer at all: the server is gone, or this device is offline. */
export class NoAnswer extends Error {}

/**
 * @typedef {object} Options
 * @property {(bytes: number) => void} [onBytes]  called as they come
 * @property {(bytes: number) => void} [onLength]  called with the size that the server states, before the first byte
 * @property {RequestCache} [cache]  by default a stored copy counts if the server says that it still holds
 */

/**
 * Fetch a file of this origin.
 * @param {URL} url
 * @param {Options} [options]
 * @returns {Promise<Uint8Array<ArrayBuffer> | null>} null if the server has no such file
 */
export async function fetchBytes(url, { onBytes = () => {}, onLength = () => {}, cache = "no-cache" } = {}) {
  try {
    const response = await fetch(url, { cache });
    if (!response.ok || !response.body) return null;
    onLength(Number(response.headers.get("Content-Length")));
    const pieces = [];
    const reader = response.body.getReader();
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      const piece = /** @type {Uint8Array<ArrayBuffer>} */ (value);
      pieces.push(piece);
      onBytes(piece.length);
    }
    return new Uint8Array(await new Blob(pieces).arrayBuffer());
  } catch {
    throw new NoAnswer(`${url.pathname} cannot be fetched: the server does not answer`);
  }
}

/**
 * @param {URL} base  the folder of the bundle
 * @param {Options} [options]
 */
export function httpSource(base, options) {
  /** @type {Map<string, Uint8Array<ArrayBuffer>>} */
  const kept = new Map();
  /** @param {string} path */
  const bytesOf = async (path) => {
    const bytes = kept.get(path) ?? (await fetchBytes(urlOf(path), options));
    if (bytes && source.keeps.has(path)) kept.set(path, bytes);
    return bytes;
  };
  /** @param {string} path */
  const urlOf = (path) => new URL(path.split("/").map(encodeURIComponent).join("/"), base);
  const source = {
    name: "bundle",
    /** Paths that stay in memory, so that the bytes in use are those that were hashed. */
    keeps: new Set(["manifest.json"]),
    /** @param {string} path */
    read: async (path) => {
      const bytes = await bytesOf(path);
      if (!bytes) throw new Error("the server has no such file");
      return bytes;
    },
    /** @param {string} path */
    digest: async (path) => {
      const bytes = await bytesOf(path);
      return bytes && { bytes: bytes.length, sha256: await sha256(bytes) };
    },
    /** @returns {Map<URL, Uint8Array<ArrayBuffer> | null>} what is kept, by address */
    files: () => new Map([...kept].map(([path, bytes]) => [urlOf(path), bytes])),
  };
  return source;
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
async function sha256(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
