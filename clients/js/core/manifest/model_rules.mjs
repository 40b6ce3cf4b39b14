// @ts-check
/** The rules of `docs/reference/manifest.md` about the model. */

import { GROUPS, namesOf, sequenceNames } from "../groups.mjs";
import { IDENTIFIER, repeated } from "./names.mjs";

/** @import { Manifest, Model } from "./manifest.mjs" */

/** The settings of the seed notebook. */
const OF_COUNTED_PADDING = /** @type {const} */ ([
  ["pooling", "mean"],
  ["event_times", "none"],
  ["mask", "causal"],
  ["places", "newest"],
]);
/** What models of a task never have. */
const NEVER = {
  next_item: { pooling: "target" },
  click: { pooling: "last", tied_output: true, padding: "counted" },
};
/** What models of other libraries have, and what others have there. */
const OF_IMPORTS = /** @type {const} */ ([
  ["candidate_features", ""],
  ["candidate_vectors", "shared"],
  ["unknown_items", "absent"],
  ["longer_histories", "newest"],
  ["sequences", ""],
]);

/** @param {Manifest} manifest */
export function model({ model: sizes }) {
  const { dim, num_heads: heads, head_widths: widths, padding, task, tied_output: tied } = sizes;
  const names = [...GROUPS.flatMap((group) => namesOf(group, sizes)), ...sequenceNames(sizes)];
  const ofItems = [...sizes.item_features, ...sizes.item_numbers].map(({ name }) => name);
  const unfit = [...names.filter((one) => !IDENTIFIER.test(one)), ...repeated(names), ...repeated(ofItems)];
  const offences = unfit.map((one) => `'${one}' cannot be the name of a feature`);
  for (const width of [dim, ...sizes.sequences.map((one) => one.dim)]) {
    if (Number(width) % Number(heads)) offences.push(`dim=${width} does not divide into num_heads=${heads}`);
  }
  for (const [name, value] of Object.entries(NEVER[task])) {
    if (Reflect.get(sizes, name) === value) offences.push(`${name}=${value} with task='${task}'`);
  }
  if (task === "next_item" && !widths.length && !tied) offences.push("head_widths=[] needs tied_output=true");
  for (const name of /** @type {const} */ (["feature_dim", "place_dim"])) {
    if (sizes[name] !== null) offences.push(`${name}=${sizes[name]}, and fields of a bundle are added`);
  }
  for (const [name, fitting] of padding === "counted" ? OF_COUNTED_PADDING : []) {
    if (sizes[name] !== fitting) offences.push(`padding='counted' with ${name}='${sizes[name]}'`);
  }
  return [...offences, ...imported(sizes)];
}

/**
 * What goes together in models of other libraries.
 * @param {Model} sizes
 */
function imported(sizes) {
  const { task, candidate_features: ofCandidates, event_features: ofEvents, head_activations: activations } = sizes;
  const said = OF_IMPORTS.filter(([name, usual]) => String(sizes[name]) !== usual).map(([name]) => name);
  const isFolded = !sizes.item_features.length && !sizes.item_numbers.length;
  const offences = task === "next_item" ? said.map((name) => `${name} with task='next_item'`) : [];
  if (said.some((name) => name !== "longer_histories") && !isFolded) {
    offences.push(`${said.join(", ")} with item features, which are folded into the tables then`);
  }
  if (ofCandidates.length && ofCandidates.length !== ofEvents.length) {
    offences.push(`${ofCandidates.length} candidate features for ${ofEvents.length} event features`);
  }
  if (activations.length !== 1 && activations.length !== sizes.head_widths.length) {
    offences.push(`${activations.length} head_activations for ${sizes.head_widths.length} layers`);
  }
  return offences;
}
