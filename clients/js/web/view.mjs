// @ts-check
/** The drawing of the page: plain functions from values to elements. */

/** @import { Report, Vocabulary } from "@bst/core" */
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
 * @param {{ item: Item, score: number, share: number, action: string }} values  the share of a bar is 0 to 1
 */
export function fillRankingRow(row, { item, score, share, action }) {
  const shown = Number.isFinite(score) ? score.toFixed(3) : "no score";
  const parts = {
    name: item.name,
    id: item.known ? (item.name === item.id ? "" : item.id) : "unknown to the model",
    score: shown,
  };
  for (const [part, text] of Object.entries(parts)) setText(row.querySelector(`.${part}`), text);
  row.querySelector("data")?.setAttribute("value", String(score));
  const button = /** @type {HTMLElement} */ (row.firstElementChild);
  button.dataset.id = item.id;
  button.setAttribute("aria-label", `${action} ${item.name}, score ${shown}`);
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
 * A picked item.
 * @param {HTMLElement} made
 * @param {Item} item
 * @param {number} place
 */
export function fillChip(made, item, place) {
  made.classList.toggle("unknown", !item.known);
  setText(made.querySelector(".name"), item.name);
  setText(made.querySelector(".note"), item.known ? "" : "unknown to the model, ignored");
  const button = /** @type {HTMLElement} */ (made.querySelector("button"));
  button.dataset.place = String(place);
  button.setAttribute("aria-label", `Remove ${item.name}`);
}

/**
 * A select for a context feature.
 * @param {string} name
 * @param {Vocabulary} vocabulary
 * @param {(value: string) => void} onChange
 */
export function contextSelect(name, { ids, padding }, onChange) {
  const select = /** @type {HTMLSelectElement} */ (element("select", { name }));
  select.append(new Option("unknown", padding), ...ids.map((id) => new Option(id, id)));
  select.onchange = () => onChange(select.value);
  return element("label", {}, name.replaceAll("_", " "), select);
}

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
