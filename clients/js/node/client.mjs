#!/usr/bin/env node
// @ts-check
/** The command line, or the remedy where it is not installed. */

const { main } = await import("./commands.mjs").catch((error) => {
  if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  const [, name] = /'(.*?)'/.exec(error.message) ?? [];
  console.error(`error: ${name} is not installed; run \`npm ci --ignore-scripts\` in the folder of the packages`);
  process.exit(2);
});
await main(process.argv.slice(2));
