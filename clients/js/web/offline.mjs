// @ts-check
/** The page without a server, after a first visit: the browser keeps the files that were loaded and verified. */

const CACHE = "bst"; // the name that sw.mjs looks into

/**
 * Keep `files` for a reload without a server, all of one bundle together.
 * @param {Map<URL, Uint8Array<ArrayBuffer> | null>} files
 * @returns {Promise<boolean>} false where the browser does not keep files, as in a private window
 */
export async function keepForOffline(files) {
  try {
    await navigator.serviceWorker.register("sw.mjs");
    await navigator.serviceWorker.ready;
    const cache = await caches.open(CACHE);
    const types = { json: "application/json", wasm: "application/wasm" };
    for (const [url, bytes] of files) {
      const type =
        types[/** @type {keyof typeof types} */ (url.pathname.split(".").at(-1))] ?? "application/octet-stream";
      const status = bytes ? 200 : 404; // what the server does not have, it does not have later either
      await cache.put(url, new Response(bytes, { status, headers: { "Content-Type": type } }));
    }
    return true;
  } catch {
    return false;
  }
}
