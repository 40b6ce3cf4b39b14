// @ts-check
/** Sentences of the page that depend on the bundle and its state. */

/** @import { Manifest } from "@bst/core" */
/** @import { Item } from "./catalogue.mjs" */
/** @import { Model } from "./model.mjs" */

/**
 * @param {Item[]} history
 * @param {number} maxLength
 */
export function noteOn(history, maxLength) {
  return history.length > maxLength
    ? `The model reads the newest ${maxLength} of these ${history.length}.`
    : "Oldest first.";
}

/**
 * @param {Item[]} history
 * @param {Record<string, string>} context
 * @param {Manifest} manifest
 */
export function basisOf(history, context, { model }) {
  const known = history.filter((one) => one.known).length;
  const hasContext = Object.values(context).some(Boolean);
  const nothing = model.context.length ? "without any context" : "for a new user";
  const alone = hasContext ? "by the context alone" : nothing;
  if (!history.length) return `Nothing is picked yet: this is what the model gives ${alone}. Pick, and it changes.`;
  if (!known) return `The model knows none of the picked ids: this is what it gives ${alone}.`;
  const items = known === 1 ? "1 item" : `${known} items`;
  return `After ${items}${hasContext ? " and the context" : ""}. Pick one to go on from there.`;
}

/** @param {number[]} times  ms, oldest first */
export function timesOf(times) {
  const median = times.toSorted((one, other) => one - other)[Math.floor(times.length / 2)];
  const calls = times.length === 1 ? "1 call" : `${times.length} calls`;
  return `${times[times.length - 1].toFixed(1)} ms, median ${median.toFixed(1)} ms of ${calls}`;
}

/** @param {Model} model */
export function factsOf({ bundle: { manifest }, runtime }) {
  const { max_length: length, context } = manifest.model;
  const features = context.length ? `, ${context.length} context ${context.length === 1 ? "feature" : "features"}` : "";
  return `${manifest.items.count.toLocaleString("en")} items, histories up to ${length}${features}, ${runtime}`;
}
