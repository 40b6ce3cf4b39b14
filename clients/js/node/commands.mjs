// @ts-check
/** The commands: one line of JSON on stdout, errors in one line on stderr. */

import { CheckError, InputError, bench, messageOf, toJson } from "@bst/core";
import { USAGE, idsOf, parse, userOf, wholeNumber } from "./arguments.mjs";
import { openBundle, verifyBundle } from "./index.mjs";

/** @import { Options } from "./arguments.mjs" */

/** @type {Record<string, (folder: string, options: Options) => Promise<object>>} */
const COMMANDS = {
  recommend: async (folder, options) => {
    const bundle = await openBundle(folder);
    const k = options.k === undefined ? undefined : wholeNumber(options.k, "--k");
    return bundle.recommend({ ...userOf(bundle.manifest, options), k });
  },
  score: async (folder, options) => {
    const bundle = await openBundle(folder);
    const candidates = idsOf(bundle.manifest, options.candidates, "--candidates");
    if (!candidates.length) throw new InputError("--candidates is missing; give ids separated by commas");
    return bundle.score({ ...userOf(bundle.manifest, options), candidates });
  },
  verify: verifyBundle,
  bench: async (folder, { case: name = "full", calls = "2000" }) => {
    const bundle = await openBundle(folder, { threads: 1 });
    const measured = await bench(bundle, { case: name, calls: wholeNumber(calls, "--calls") });
    return { client: "node", runtime: `onnxruntime ${bundle.runtime.version}`, ...measured };
  },
};

/** @param {string[]} argv */
export async function main(argv) {
  try {
    if (argv.includes("--help") || argv.includes("-h")) return console.log(USAGE);
    const { command, folder, options } = parse(argv);
    const answer = await COMMANDS[command](folder, options);
    console.log(toJson(answer));
    if ("failure" in answer && answer.failure) throw new CheckError(String(answer.failure));
  } catch (error) {
    console.error(`error: ${messageOf(error)}`);
    process.exitCode = error instanceof CheckError ? 1 : 2;
  }
}
