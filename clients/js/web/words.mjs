// @ts-check
/** Sentences of the page that depend on the bundle and its state. */

/** @import { Manifest, Value } from "@bst/core" */
/** @import { Item } from "./catalogue.mjs" */
/** @import { Model } from "./model.mjs" */

/** Texts of the page of a click model, by the id of their element. */
export const CLICKS = {
  title: "How likely is each?",
  lead: "A ranker that runs in this browser. What you pick stays on this device.",
  "answer-title": "Probabilities of your candidates",
};

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
 * @param {Record<string, Value>} context  what is known
 * @param {Manifest} manifest
 * @param {number} scored  how many chosen items have been scored
 */
export function basisOf(history, context, { model }, scored) {
  const clicks = model.task === "click";
  if (clicks && !scored) return "Choose items to be scored: each gets a probability, the largest first.";
  const known = history.filter((one) => one.known).length;
  const hasContext = Object.keys(context).length > 0;
  const nothing = model.context.length + model.numbers.length ? "without any context" : "for a new user";
  const alone = hasContext ? "by the context alone" : nothing;
  if (!history.length) return `Nothing is picked yet: this is what the model gives ${alone}. Pick, and it changes.`;
  if (!known) return `The model knows none of the picked ids: this is what it gives ${alone}.`;
  const items = known === 1 ? "1 item" : `${known} items`;
  return `After ${items}${hasContext ? " and the context" : ""}.${clicks ? "" : " Pick one to go on from there."}`;
}

/** @param {number[]} times  ms, oldest first */
export function timesOf(times) {
  if (!times.length) return "";
  const median = times.toSorted((one, other) => one - other)[Math.floor(times.length / 2)];
  const calls = times.length === 1 ? "1 call" : `${times.length} calls`;
  return `${times[times.length - 1].toFixed(1)} ms, median ${median.toFixed(1)} ms of ${calls}`;
}

/** @param {Model} model */
export function factsOf({ bundle: { manifest }, runtime }) {
  const { max_length: length, event_features: events, event_times: times, context, numbers } = manifest.model;
  const counted = (/** @type {object[]} */ { length: count }, /** @type {string} */ noun) =>
    count ? [`${count} ${noun}${count === 1 ? "" : "s"}`] : [];
  return [
    `${manifest.items.count.toLocaleString("en")} items`,
    `histories up to ${length}`,
    ...counted(events, "event feature"),
    ...(times === "none" ? [] : ["event times"]),
    ...counted(context, "context feature"),
    ...counted(numbers, "number"),
    runtime,
  ].join(", ");
}
