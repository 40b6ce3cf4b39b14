// @ts-check
/** The command line of the client. */

import { parseArgs } from "node:util";

import { InputError, idOf, messageOf, namedInputs, sequenceNames, vocabulariesOf } from "@bst/core";

/** @import { Group, Manifest, Value, VocabularyFacts } from "@bst/core" */

export const USAGE = `node client.mjs recommend BUNDLE [--history ID,ID,...] [--context NAME=VALUE,NAME=VALUE]
                                 [--event NAME=VALUE,VALUE,...] [--k N]
node client.mjs score     BUNDLE --candidates ID,ID,... [--history ...] [--context ...] [--event ...]
                                 [--candidate-feature NAME=VALUE,VALUE,...] [--sequence NAME=ID,ID,...]
node client.mjs verify    BUNDLE
node client.mjs bench     BUNDLE [--case NAME] [--calls N]

--context takes features, numbers and request_time. --event is repeatable; it takes a value for each item of the history,
of an event feature or event_time, and nothing between two commas where a value is not known; --candidate-feature likewise
takes a value for each candidate. --sequence takes the ids of another sequence than the history, as many as there are.`;
const REPEATABLE = ["context", "event", "candidate-feature", "sequence"];
const TAKES = {
  recommend: ["history", "context", "event", "k"],
  score: ["history", "context", "event", "candidates", "candidate-feature", "sequence"],
  verify: [],
  bench: ["case", "calls"],
};

/**
 * The options as text.
 * @typedef {{ history?: string, context?: string[], event?: string[], k?: string, candidates?: string,
 *   "candidate-feature"?: string[], sequence?: string[] }} UserOptions
 * @typedef {UserOptions & { case?: string, calls?: string }} Options
 */

/** @param {string[]} argv */
export function parse([command = "", ...rest]) {
  if (!Object.hasOwn(TAKES, command)) {
    throw new InputError(`'${command}' is not a command; known: ${Object.keys(TAKES).join(", ")} (see --help)`);
  }
  const names = TAKES[/** @type {keyof typeof TAKES} */ (command)];
  const options = Object.fromEntries(
    names.map((name) => [name, { type: /** @type {const} */ ("string"), multiple: REPEATABLE.includes(name) }]),
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
export function userOf(
  manifest,
  { history, context = [], event = [], "candidate-feature": features = [], sequence = [] },
) {
  const ofRequest = textsOf(manifest, "--context", context.flatMap((one) => one.split(",")), "request");
  const listsOf = (/** @type {ReturnType<typeof textsOf>} */ texts) =>
    Object.fromEntries(texts.map(({ name, text, read }) => [name, text.split(",").map(read)]));
  return {
    history: idsOf(manifest, history, "--history"),
    context: Object.fromEntries(ofRequest.map(({ name, text, read }) => [name, read(text)])),
    events: listsOf(textsOf(manifest, "--event", event, "event")),
    candidateFeatures: listsOf(textsOf(manifest, "--candidate-feature", features, "candidate")),
    sequences: Object.fromEntries(
      namedTexts("--sequence", sequence, sequenceNames(manifest.model)).map(({ name, text }) => [
        name,
        idsOf(manifest, text, `--sequence ${name}`),
      ]),
    ),
  };
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
 * @param {Manifest} manifest
 * @param {string} option
 * @param {string[]} pairs  `NAME=VALUE`
 * @param {Group["of"]} of
 */
function textsOf(manifest, option, pairs, of) {
  const inputs = namedInputs(manifest.model, of);
  return namedTexts(option, pairs, [...inputs.keys()]).map(({ name, text }) => {
    const group = /** @type {Group} */ (inputs.get(name));
    const facts = vocabulariesOf(group, manifest)[name];
    const read = (/** @type {string} */ part) => valueOf(part, group, facts, `${option} ${name}`);
    return { name, text, read };
  });
}

/**
 * @param {string} option
 * @param {string[]} pairs  `NAME=VALUE`
 * @param {string[]} names  of the model, each of which may be there once
 */
function namedTexts(option, pairs, names) {
  return pairs.map((pair, place) => {
    const [name, ...text] = pair.split("=");
    const repeats = pairs.slice(0, place).some((other) => other.split("=", 1)[0] === name);
    if (!text.length || !names.includes(name) || repeats) {
      const known = names.join(", ") || "none";
      throw new InputError(`${option} '${pair}' is not one of NAME=VALUE with a feature of the model, once: ${known}`);
    }
    return { name, text: text.join("=") };
  });
}

/**
 * Read one value; an empty text is null but for a category that is a text.
 * @param {string} text
 * @param {Group} group
 * @param {VocabularyFacts | undefined} facts
 * @param {string} place
 * @returns {Value}
 */
function valueOf(text, group, facts, place) {
  if (facts && (text || facts.dtype === "string" || group.of === "request")) return idOf(text, facts, place);
  if (!text) return null;
  const value = group.kind.parse(text.trim());
  if (value !== null) return value;
  throw new InputError(`${place}: '${text}' is no ${group.kind.noun}; leave it empty where it is not known`);
}
