// @ts-check
/** Serves the page and a bundle: `node serve.mjs BUNDLE [--host 127.0.0.1] [--port 8000]`. */

import { createHash } from "node:crypto";
import { createReadStream, promises } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const USAGE = "node serve.mjs BUNDLE [--host 127.0.0.1] [--port 8000]";
const PAGE = fileURLToPath(new URL(".", import.meta.url));
const TYPES = {
  html: "text/html",
  css: "text/css",
  mjs: "text/javascript",
  json: "application/json",
  wasm: "application/wasm",
};
const HEADERS = { "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff" };
// The page is alone in its process, and may read the clock to 5 us instead of 100.
const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const fail = (/** @type {string} */ message) => (console.error(`error: ${message}`), process.exit(2));
const real = (/** @type {string} */ path, /** @type {string} */ remedy) =>
  promises.realpath(path).catch(() => fail(`${path} is not there; ${remedy}`));
const options = /** @type {const} */ ({
  host: { type: "string", default: "127.0.0.1" },
  port: { type: "string", default: "8000" },
});
const { resolve } = createRequire(import.meta.url);
const packageOf = async (/** @type {string} */ name) => {
  try {
    return await promises.realpath(dirname(resolve(name)));
  } catch {
    return fail(`${name} is not installed; run \`npm ci --ignore-scripts\` in the folder of the packages`);
  }
};
const parsed = async () => parseArgs({ options, allowPositionals: true });
const { values, positionals } = await parsed().catch((error) => fail(`${error.message}; ${USAGE}`));
const { host } = values;
const port = /^\d+$/.test(values.port) ? Number(values.port) : NaN;
if (positionals.length !== 1 || !(port < 65536)) fail(`give one bundle, and a port if 8000 will not do: ${USAGE}`);
await real(join(positionals[0], "manifest.json"), "give a bundle, a folder that `bst export` writes");
const bundle = await real(positionals[0], USAGE);
const folders = new Map([
  ["bundle", bundle],
  ["core", await packageOf("@bst/core")],
  ["ort", await packageOf("onnxruntime-web")],
]);

/** Find the file of a path. Links are followed, and their targets must be in the folder of the path. */
async function fileOf(/** @type {string} */ path) {
  if (/^\/([\w-]+\.(html|css|mjs))?$/.test(path)) return join(PAGE, path === "/" ? "index.html" : path);
  const [, first, ...rest] = path.split("/");
  const folder = folders.get(first);
  const found = folder && (await promises.realpath(join(folder, ...rest)));
  const isOurs = found?.startsWith(folder + sep) || (found && first === "bundle" && (await isStated(rest.join("/"), found)));
  return isOurs && found;
}

/** Return whether the target of a link out of the bundle is the file of the manifest: no other file is sent. */
async function isStated(/** @type {string} */ path, /** @type {string} */ found) {
  const { schema_version: version, files } = JSON.parse(await promises.readFile(join(bundle, "manifest.json"), "utf8"));
  if (path === "manifest.json") return typeof version === "string" && Array.isArray(files);
  const stated = files.find((/** @type {{ path: string }} */ one) => one.path === path);
  if (!stated || (await promises.stat(found)).size !== stated.bytes) return false;
  const hash = createHash("sha256");
  for await (const piece of createReadStream(found)) hash.update(piece);
  return hash.digest("hex") === stated.sha256;
}

/**
 * Whether a request asks this server by an address, or by a name that is known. A name of another site that leads here
 * is refused, or that site could read the bundle.
 */
function isOurs(named = "") {
  const name = named.replace(/:\d+$/, "");
  return ["localhost", host].includes(name) || /^(\d+(\.\d+){3}|\[[\da-f:.]+\])$/i.test(name);
}

const server = createServer(async ({ method, url = "", headers }, response) => {
  const end = (/** @type {number} */ status, body = "") => response.writeHead(status, HEADERS).end(body);
  if (!isOurs(headers.host)) return end(403);
  if (method !== "GET" && method !== "HEAD") return end(405);
  const path = await Promise.resolve(url.split("?")[0])
    .then(decodeURIComponent)
    .then(fileOf)
    .catch(() => null);
  const found = path && (await promises.stat(path).catch(() => null));
  if (!path || !found || !found.isFile()) return end(404);
  const type = TYPES[/** @type {keyof TYPES} */ (extname(path).slice(1))] ?? "application/octet-stream";
  response.writeHead(200, { ...HEADERS, ...ISOLATED, "Content-Type": type, "Content-Length": found.size });
  if (method === "HEAD") response.end();
  else
    createReadStream(path)
      .on("error", () => response.destroy())
      .pipe(response);
});
server.on("error", ({ message }) => fail(`${message}; give another --port`));
server.listen(port, host, () => {
  const { address, port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  const there = ["0.0.0.0", "::"].includes(address) ? "localhost" : address.includes(":") ? `[${address}]` : address;
  console.log(`http://${there}:${port}/ shows ${positionals[0]} (Ctrl-C ends it)`);
});
