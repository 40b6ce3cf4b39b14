// @ts-check
/** The drawing of the page: plain functions from values to elements. */

import { CATEGORIES, NUMBERS } from "@bst/core";

/** @import { Report, Value, Vocabulary } from "@bst/core" */
/** @import { Picked } from "./page.mjs" */
/** @import { Item } from "./catalogue.mjs" */

/**
 * @param {string} tag
 * @param {Record<string, string | boolean>} [attributes]  true sets one, false leaves it out
 * @param {(Node | string)[]} children
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== "") node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** @param {string} id */
export function byId(id) {
  return /** @type {HTMLElement} */ (document.getElementById(id));
}

/**
 * Fill a list with `items`, one element each, and reuse its elements, so that focus and transitions are kept.
 * @template T
 * @param {HTMLElement} list
 * @param {T[]} items
 * @param {() => HTMLElement} make
 * @param {(made: HTMLElement, item: T, place: number) => void} fill
 */
export function drawList(list, items, make, fill) {
  while (list.children.length > items.length) list.lastElementChild?.remove();
  while (list.children.length < items.length) list.append(make());
  for (const [place, item] of items.entries()) fill(/** @type {HTMLElement} */ (list.children[place]), item, place);
}

/**
 * A new element, as the page's template of that name has it.
 * @param {string} name
 */
export function fromTemplate(name) {
  const { content } = /** @type {HTMLTemplateElement} */ (byId(name));
  return /** @type {HTMLElement} */ (content.firstElementChild?.cloneNode(true));
}

/**
 * A place of a ranking.
 * @param {HTMLElement} row
 * @param {{ item: Item, score: number, share: number, action: string, isProbability: boolean }} values  the share of a
 *   bar is 0 to 1; `score` is a logit, or a probability
 */
export function fillRankingRow(row, { item, score, share, action, isProbability }) {
  const number = isProbability ? `${Number((100 * score).toPrecision(3))} %` : score.toFixed(3);
  const shown = Number.isFinite(score) ? number : "no score";
  const parts = {
    name: item.name,
    id: item.known ? (item.name === item.id ? "" : item.id) : "unknown to the model",
    score: shown,
  };
  for (const [part, text] of Object.entries(parts)) setText(row.querySelector(`.${part}`), text);
  row.querySelector("data")?.setAttribute("value", String(score));
  const button = /** @type {HTMLElement} */ (row.firstElementChild);
  button.dataset.id = item.id;
  button.setAttribute("aria-label", `${action} ${item.name}, ${isProbability ? "probability" : "score"} ${shown}`);
  button.style.setProperty("--share", String(Math.min(1, Math.max(0, share)) || 0));
}

/**
 * @param {Element | null} made
 * @param {string} text
 */
function setText(made, text) {
  if (made && made.textContent !== text) made.textContent = text;
}

/**
 * An element for a picked item, with a choice a feature of its event.
 * @param {Record<string, Vocabulary>} features
 */
export function chip(features) {
  const made = fromTemplate("chip");
  const choices = Object.entries(features).map(([name, one]) => choice(name, one, `unknown ${spoken(name)}`));
  made.querySelector(".choices")?.append(...choices);
  return made;
}

/**
 * @param {HTMLElement} made
 * @param {Picked} item
 * @param {number} place
 */
export function fillChip(made, item, place) {
  made.classList.toggle("unknown", !item.known);
  setText(made.querySelector(".name"), item.name);
  setText(made.querySelector(".note"), item.known ? "" : "unknown to the model, ignored");
  for (const select of made.querySelectorAll("select")) {
    select.value = String(item.values[select.name] ?? select.options[0].value);
    select.dataset.place = String(place);
    select.setAttribute("aria-label", `${spoken(select.name)} of ${item.name}`);
  }
  const button = /** @type {HTMLElement} */ (made.querySelector("button"));
  button.dataset.place = String(place);
  button.setAttribute("aria-label", `Remove ${item.name}`);
}

/**
 * A select of categories; the first option is the unknown one.
 * @param {string} name
 * @param {Vocabulary} vocabulary
 * @param {string} unknown  its text
 */
function choice(name, { ids, padding }, unknown) {
  const select = /** @type {HTMLSelectElement} */ (element("select", { name }));
  select.append(new Option(unknown, padding), ...ids.map((id) => new Option(id, id)));
  return select;
}

/** @param {string} name */
function spoken(name) {
  return name.replaceAll("_", " ");
}

/**
 * A select for a context feature.
 * @param {string} name
 * @param {Vocabulary} vocabulary
 * @param {(value: Value) => void} onChange  null where it is not known
 */
function contextSelect(name, vocabulary, onChange) {
  const select = choice(name, vocabulary, "unknown");
  select.onchange = () => onChange(select.selectedIndex ? select.value : null);
  return element("label", {}, spoken(name), select);
}

/**
 * A field for a number; empty, or holding what is no number of 32 bits, it is not known.
 * @param {string} name
 * @param {(value: Value) => void} onChange  null where it is not known
 */
function numberInput(name, onChange) {
  const bounds = { min: "-3.4e38", max: "3.4e38", step: "any" };
  const input = /** @type {HTMLInputElement} */ (
    element("input", { type: "number", name, placeholder: "unknown", autocomplete: "off", ...bounds })
  );
  input.onchange = () => onChange(input.reportValidity() && input.value ? input.valueAsNumber : null);
  return element("label", {}, spoken(name), input);
}

/**
 * Fields of a request by the kind of their value; times have none.
 * @type {Map<object, (name: string, vocabulary: Vocabulary, onChange: (value: Value) => void) => HTMLElement>}
 */
export const FIELDS = new Map([
  [CATEGORIES, contextSelect],
  [NUMBERS, (name, _, onChange) => numberInput(name, onChange)],
]);

/**
 * How many items are asked for, between 1 and `most`.
 * @param {number} first
 * @param {number} most
 * @param {(count: number) => void} onChange
 */
export function countInput(first, most, onChange) {
  const attributes = { type: "number", min: "1", max: String(most), value: String(first), name: "k" };
  const input = /** @type {HTMLInputElement} */ (element("input", attributes));
  input.onchange = () => {
    input.value = String(Math.min(most, Math.max(1, Math.round(input.valueAsNumber || first))));
    onChange(input.valueAsNumber);
  };
  return element("label", {}, "how many", input);
}

/** @param {Report} report */
export function verdictTable({ verdicts }) {
  const heads = ["signature", "calls", "rows", "max error", "tied swaps"];
  const error = (/** @type {number | null} */ value) => (value === null ? "not replayed" : value.toExponential(1));
  const cells = verdicts.map((one) => [one.signature, one.cases, one.rows, error(one.max_error), one.swaps]);
  const row = (/** @type {string} */ tag, /** @type {(string | number)[]} */ values) =>
    element("tr", {}, ...values.map((value, place) => element(tag, { class: place ? "n" : "" }, String(value))));
  return element(
    "table",
    {},
    element("thead", {}, row("th", heads)),
    element("tbody", {}, ...cells.map((one) => row("td", one))),
  );
}
