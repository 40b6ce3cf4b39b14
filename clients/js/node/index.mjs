// @ts-check
/** The public names of `@bst/node`: a bundle in a folder, opened or verified. */

import {
  Bundle,
  VOCABULARY,
  checkFiles,
  checkRuntime,
  filesOf,
  formatOf,
  readManifest,
  readVocabularies,
  verify,
} from "@bst/core";
import { folderSource } from "./files.mjs";
import { nativeRuntime, optionsOf } from "./runtime.mjs";

export { CheckError, InputError } from "@bst/core";

/**
 * Check the files that are needed, and return the bundle. Keep it: a session is loaded at its first call.
 * @param {string} folder
 * @param {{ threads?: number }} [options]  of ONNX Runtime, instead of what the bundle advises
 */
export async function openBundle(folder, { threads } = {}) {
  const source = await folderSource(folder);
  const manifest = await readManifest(source);
  const runtime = await nativeRuntime(folder, optionsOf(manifest, threads));
  const record = formatOf(manifest, "onnx");
  const lookedUp = record.ids === "index" || manifest.items.named ? [VOCABULARY] : [];
  for (const path of lookedUp) source.keeps.add(path);
  await checkFiles({ source, manifest }, [...filesOf(manifest, record), ...lookedUp]);
  checkRuntime({ source, manifest, runtime });
  const vocabularies = lookedUp.length ? await readVocabularies(source) : null;
  return new Bundle({ source, manifest, runtime, vocabularies });
}

/**
 * Compare all files with their hashes and replay the golden vectors: the verdict of `bst verify --json`.
 * @param {string} folder
 */
export async function verifyBundle(folder) {
  const source = await folderSource(folder);
  const manifest = await readManifest(source);
  return verify({ source, manifest, runtime: await nativeRuntime(folder) });
}
