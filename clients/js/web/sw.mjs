/** Network first, so that a refreshed bundle is never stale; without a network, the files of the last visit. */

const CACHE = "bst";
const PAGE = [
  "./",
  "style.css",
  "app.mjs",
  "catalogue.mjs",
  "combobox.mjs",
  "http.mjs",
  "model.mjs",
  "offline.mjs",
  "page.mjs",
  "proof.mjs",
  "runtime.mjs",
  "trouble.mjs",
  "view.mjs",
  "words.mjs",
  "core/bundle.mjs",
  "core/contents.mjs",
  "core/errors.mjs",
  "core/groups.mjs",
  "core/ids.mjs",
  "core/index.mjs",
  "core/inputs.mjs",
  "core/rankings.mjs",
  "core/manifest/fields.mjs",
  "core/manifest/manifest.mjs",
  "core/manifest/model_rules.mjs",
  "core/manifest/names.mjs",
  "core/manifest/rules.mjs",
  "core/manifest/schema.mjs",
  "core/proof/bench.mjs",
  "core/proof/golden.mjs",
  "core/proof/parity.mjs",
  "core/proof/proof.mjs",
  "core/session.mjs",
  "core/tensors.mjs",
  "core/text.mjs",
  "core/vocabulary.mjs",
  "ort/ort.wasm.min.mjs",
  "ort/ort-wasm-simd-threaded.mjs",
];
const urls = new Set(PAGE.map((path) => new URL(path, self.location).href));

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(PAGE))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { method, cache } = event.request;
  if (method === "GET" && cache !== "no-store") event.respondWith(answer(event)); // verifying wants the server itself
});

/** The page's own files are kept as they pass; those of a bundle by the page, once it has verified them. */
async function answer(event) {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(event.request);
    if (response.ok && urls.has(event.request.url)) event.waitUntil(cache.put(event.request, response.clone()));
    return response;
  } catch {
    const wanted = event.request.mode === "navigate" ? new URL("./", self.location) : event.request;
    return (await cache.match(wanted, { ignoreVary: true })) ?? Response.error();
  }
}
