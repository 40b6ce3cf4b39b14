// @ts-check
/** The rules of `docs/reference/manifest.md`: conditions beyond the types of the fields. */

import { CATEGORIES, GROUPS, namesOf, vocabulariesOf } from "../groups.mjs";
import { PROBABILITIES } from "../tensors.mjs";
import { pythonic } from "../text.mjs";
import { model } from "./model_rules.mjs";
import { IDENTIFIER, repeated } from "./names.mjs";

/** @import { Manifest, Signature, TensorSpec, VocabularyFacts } from "./manifest.mjs" */

const ITSELF = "manifest.json";
const PROVE_THE_OUTPUT_LAYER = ["encode_user", "all_scores"];
const FLOAT_BYTES = 4;
const MAX_TOLERANCE = 1e-5; // of the largest score; a manifest may be stricter, never laxer

/**
 * List every rule that a manifest breaks, with the value; empty for a sound one.
 * @param {Manifest} manifest
 * @returns {string[]}
 */
export function offencesOf(manifest) {
  return [files, formats, signatures, vocabularies, model, outputLayer, tolerance].flatMap((rule) => rule(manifest));
}

/** @param {Manifest} manifest */
function files(manifest) {
  const listed = manifest.files.map(({ path }) => path);
  const layer = manifest.output_layer;
  const named = new Set([manifest.weights, ...(layer ? [layer.weights.path, layer.biases.path] : [])]);
  for (const { entries } of manifest.formats) {
    for (const { path } of Object.values(entries)) named.add(path);
  }
  const missing = [...named].filter((path) => !listed.includes(path)).sort();
  return [
    ...missing.map((path) => `${path} is not among its files`),
    ...listed.filter((path) => !isInside(path)).map((path) => `${path} leads out of the bundle`),
    ...repeated(listed).map((path) => `${path} is listed twice`),
    ...manifest.formats
      .filter(({ golden }) => golden.split("/")[0] !== "golden" || !isInside(golden))
      .map(({ golden }) => `${golden} is no place for golden vectors`),
    ...(listed.includes(ITSELF) ? [`${ITSELF} lists itself`] : []),
  ];
}

/** @param {string} path */
function isInside(path) {
  return !path.split("/").some((part) => ["", ".", ".."].includes(part)) && !/[\\:\0]/.test(path);
}

/** @param {Manifest} manifest */
function formats(manifest) {
  const offences = repeated(manifest.formats.map(({ name }) => name)).map((name) => `format ${name} is there twice`);
  if (!manifest.formats.length || !manifest.formats.every(({ entries }) => Object.keys(entries).length)) {
    offences.push("it holds no format or no signature");
  }
  for (const { name: format, ids, entries } of manifest.formats) {
    const names = manifest.signatures.filter((one) => one.ids === ids).map((one) => one.name);
    for (const name of Object.keys(entries).filter((one) => !names.includes(one))) {
      offences.push(`${format} has ${name}, which is not among its signatures at the level '${ids}'`);
    }
  }
  return offences;
}

/** @param {Manifest} manifest */
function signatures(manifest) {
  const offences = repeated(manifest.signatures.map(({ name, ids }) => `${name} at the level '${ids}'`)).map(
    (description) => `signature ${description} is there twice`,
  );
  for (const { name, inputs, outputs, max_k: most } of manifest.signatures) {
    const names = [name, ...inputs.map((one) => one.name)];
    const unfit = [...names.filter((one) => !IDENTIFIER.test(one)), ...repeated(names)];
    offences.push(...unfit.map((one) => `a signature with '${one}' as a name cannot be called`));
    if (!isOfIds(inputs, outputs)) offences.push(`signature ${name} is no function of ids`);
    if (names.slice(1).includes("k") !== (most !== null)) {
      offences.push(`signature ${name} states max_k=${most}, which goes with an input k alone`);
    }
  }
  return offences;
}

/**
 * Whether rows of ids go in, with tensors of one to three axes beside them, and rows come out: numbers, with ids or
 * probabilities before them or without.
 * @param {TensorSpec[]} inputs
 * @param {TensorSpec[]} outputs
 */
function isOfIds(inputs, outputs) {
  const isId = (/** @type {TensorSpec} */ { dtype }) => dtype !== "float32";
  const [first, second] = outputs;
  const goesBefore = isId(first ?? {}) !== (first?.name === PROBABILITIES);
  return (
    inputs.length > 0 &&
    isId(inputs[0]) &&
    inputs[0].shape.length === 2 &&
    inputs.every(({ shape }) => [1, 2, 3].includes(shape.length)) &&
    outputs.every((one) => one.shape.length === 2) &&
    (outputs.length === 1 ? !isId(first) : outputs.length === 2 && goesBefore && !isId(second)) &&
    [...inputs, ...outputs].every(({ shape }) => shape.every((axis) => typeof axis === "string" || axis >= 1))
  );
}

/** @param {Manifest} manifest */
function vocabularies(manifest) {
  /** @type {string[]} */
  const offences = [];
  /** @type {[string, VocabularyFacts, number | undefined][]} */
  const counted = [["items", manifest.items, manifest.model.num_items]];
  for (const group of GROUPS.filter(({ kind }) => kind === CATEGORIES)) {
    const [facts, expected] = [vocabulariesOf(group, manifest), namesOf(group, manifest.model)];
    const names = Object.keys(facts);
    if (names.join() !== expected.join()) {
      offences.push(`${group.name} is ${names.join(", ") || "empty"}, of the model ${expected.join(", ") || "empty"}`);
    }
    for (const { name, num_categories: count } of group.features(manifest.model)) {
      if (Object.hasOwn(facts, name)) counted.push([name, facts[name], count]);
    }
  }
  for (const [name, { dtype, count, padding }, ofModel] of counted) {
    if (count !== ofModel) offences.push(`${name} counts ${count}, the model ${ofModel}`);
    if ((typeof padding === "string") !== (dtype === "string")) {
      offences.push(`${name} is of ${dtype} and padded with '${padding}'`);
    }
  }
  return offences;
}

/** @param {Manifest} manifest */
function outputLayer({
  output_layer: layer,
  model: { task, num_items: items, dim, head_widths: widths, tied_output: tied },
  ...rest
}) {
  if (!layer) return [];
  if (task === "click") return ["there is an output_layer, and a model of task 'click' has none"];
  const offences = [0, 1].includes(layer.first_row)
    ? []
    : [`output_layer.first_row=${layer.first_row} is neither 0 nor 1`];
  const rows = Number(items) + Number(layer.first_row);
  const width = tied ? dim : widths[widths.length - 1];
  const sizes = new Map(rest.files.map(({ path, bytes }) => [path, bytes]));
  for (const [place, shape] of /** @type {const} */ ([
    [layer.weights, [rows, width]],
    [layer.biases, [rows]],
  ])) {
    const end = Number(place.offset) + FLOAT_BYTES * shape.reduce((one, other) => one * Number(other), 1);
    if (place.shape.join() !== shape.join()) {
      offences.push(`an output layer of [${place.shape.join(", ")}] is not that of the model, [${shape.join(", ")}]`);
    } else if (place.offset < 0 || end > Number(sizes.get(place.path) ?? 0)) {
      offences.push(`${place.path} ends before the output layer does`);
    }
  }
  const names = rest.signatures.filter((one) => one.ids === rest.settings.ids).map((one) => one.name);
  const lacking = PROVE_THE_OUTPUT_LAYER.filter((name) => !names.includes(name));
  return [...offences, ...lacking.map((name) => `the output layer lacks ${name}, which proves it`)];
}

/** @param {Manifest} manifest */
function tolerance({ tolerance: bound }) {
  if (bound > 0 && bound <= MAX_TOLERANCE) return [];
  return [`tolerance=${bound} is not above 0 and at most ${pythonic(MAX_TOLERANCE, 0)}`];
}
