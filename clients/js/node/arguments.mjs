// @ts-check
/** The command line of the client. */

import { parseArgs } from "node:util";

import { InputError, idOf, messageOf } from "@bst/core";

/** @import { Id, Manifest } from "@bst/core" */

export const USAGE = `node client.mjs recommend BUNDLE [--history ID,ID,...] [--context NAME=VALUE,NAME=VALUE] [--k N]
node client.mjs score     BUNDLE --candidates ID,ID,... [--history ...] [--context ...]
node client.mjs verify    BUNDLE
node client.mjs bench     BUNDLE [--case NAME] [--calls N]`;
const TAKES = {
  recommend: ["history", "context", "k"],
  score: ["history", "context", "candidates"],
  verify: [],
  bench: ["case", "calls"],
};

/**
 * The options as text.
 * @typedef {{ history?: string, context?: string[], k?: string, candidates?: string }} UserOptions
 * @typedef {UserOptions & { case?: string, calls?: string }} Options
 */

/** @param {string[]} argv */
export function parse([command = "", ...rest]) {
  if (!Object.hasOwn(TAKES, command)) {
    throw new InputError(`'${command}' is not a command; known: ${Object.keys(TAKES).join(", ")} (see --help)`);
  }
  const names = TAKES[/** @type {keyof typeof TAKES} */ (command)];
  const options = Object.fromEntries(
    names.map((name) => [name, { type: /** @type {const} */ ("string"), multiple: name === "context" }]),
  );
  let parsed;
  try {
    parsed = parseArgs({ args: withValues(rest, names), options, allowPositionals: true });
  } catch (error) {
    throw new InputError(`${messageOf(error)} (see --help)`);
  }
  const { positionals, values } = parsed;
  if (positionals.length !== 1) {
    throw new InputError(`${command} takes one BUNDLE, got ${positionals.join(" ") || "none"} (see --help)`);
  }
  return { command, folder: positionals[0], options: /** @type {Options} */ (values) };
}

/**
 * `--history -5` gives an id below zero, which `parseArgs` takes for an option unless it is written with `=`.
 * @param {string[]} args
 * @param {string[]} names
 */
function withValues(args, names) {
  const joined = [];
  for (let place = 0; place < args.length; place += 1) {
    const takes = names.some((name) => args[place] === `--${name}`) && place + 1 < args.length;
    joined.push(takes ? `${args[place]}=${args[(place += 1)]}` : args[place]);
  }
  return joined;
}

/**
 * @param {string} text
 * @param {string} option
 */
export function wholeNumber(text, option) {
  if (/^\d{1,9}$/.test(text) && (option === "--k" || Number(text) > 0)) return Number(text);
  throw new InputError(`${option} ${text} is not a whole number from 1 to 999999999; give such as ${option} 10`);
}

/**
 * @param {Manifest} manifest
 * @param {Options} options
 */
export function userOf(manifest, { history, context = [] }) {
  const pairs = context.flatMap((one) => one.split(","));
  return { history: idsOf(manifest, history, "--history"), context: contextOf(pairs, manifest) };
}

/**
 * @param {Manifest} manifest
 * @param {string | undefined} text
 * @param {string} option
 */
export function idsOf({ items }, text, option) {
  const parts = (text ?? "").split(",").map((part) => part.trim());
  return parts.filter(Boolean).map((part) => idOf(part, items, option));
}

/**
 * @param {string[]} pairs  `NAME=VALUE`
 * @param {Manifest} manifest
 */
function contextOf(pairs, manifest) {
  /** @type {Map<string, Id>} */
  const given = new Map();
  for (const pair of pairs) {
    const [name, ...value] = pair.split("=");
    if (!value.length || !Object.hasOwn(manifest.context, name) || given.has(name)) {
      const known = manifest.model.context.map((one) => one.name).join(", ") || "none";
      throw new InputError(`--context '${pair}' is not one of NAME=VALUE with a feature of the model, once: ${known}`);
    }
    given.set(name, idOf(value.join("="), manifest.context[name], `--context ${name}`));
  }
  return Object.fromEntries(given);
}
