// One process that runs the commands of the client one after another: most of the time of one goes into its start.
//
//   node host.mjs COMMANDS.MJS      reads {"words", "folder"} line by line, and answers {"code", "out", "err"}

import { createInterface } from "node:readline";

const { main } = await import(process.argv[2]);
let out = "";
let err = "";
console.log = (text) => (out += `${text}\n`);
console.error = (text) => (err += `${text}\n`);

for await (const line of createInterface({ input: process.stdin })) {
  const { words, folder } = JSON.parse(line);
  process.chdir(folder);
  [out, err, process.exitCode] = ["", "", 0];
  await main(words);
  process.stdout.write(`${JSON.stringify({ code: process.exitCode, out, err })}\n`);
}
process.exitCode = 0;
