// Judge manifests as `@bst/core` does, many in one process: `node judge.mjs FILE...` prints a verdict a line.
import { readFile } from "node:fs/promises";

import { InputError, readManifest } from "../../../clients/js/core/index.mjs";

for (const file of process.argv.slice(2)) {
  try {
    await readManifest({ name: file, read: () => readFile(file) });
    console.log("sound");
  } catch (error) {
    console.log(error instanceof InputError ? "spoilt" : `${error}`);
  }
}
