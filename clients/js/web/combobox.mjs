// @ts-check
/** A search box with a list, as ARIA describes it: the focus stays in the box, arrow keys go through the list. */

import { element } from "./view.mjs";

/** @import { Item } from "./catalogue.mjs" */

/**
 * @typedef {object} Options
 * @property {(text: string) => Item[]} search
 * @property {(item: Item) => void} onPick
 * @property {() => void} [onErase]  Backspace in an empty box
 */

/**
 * @param {HTMLElement} root  holds a label and a text input
 * @param {Options} options
 */
export function combobox(root, { search, onPick, onErase }) {
  const input = /** @type {HTMLInputElement} */ (root.querySelector("input"));
  const id = `${input.id}-list`;
  const list = element("ul", { id, role: "listbox", "aria-label": input.labels?.[0]?.textContent ?? "", hidden: true });
  const status = element("p", { class: "unseen", role: "status" });
  root.append(list, status);
  for (const [name, value] of Object.entries({
    role: "combobox",
    "aria-controls": id,
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    enterkeyhint: "done",
  }))
    input.setAttribute(name, value);

  /** @type {Item[]} */
  let items = [];
  let active = -1;

  function open() {
    const text = input.value.trim();
    items = search(text);
    list.replaceChildren(...items.map(optionOf));
    if (!items.length) list.append(element("li", { class: "nothing" }, "Nothing of that name, and no id of this kind"));
    list.hidden = false;
    list.scrollTop = 0;
    input.setAttribute("aria-expanded", "true");
    status.textContent = `${items.length} found`;
    activate(text && items.length ? 0 : -1);
  }

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    status.textContent = "";
    activate(-1);
  }

  /** @param {number} place */
  function activate(place) {
    list.children[active]?.removeAttribute("aria-selected");
    active = place;
    const option = active < 0 ? null : list.children[active];
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) input.setAttribute("aria-activedescendant", option.id);
    else input.removeAttribute("aria-activedescendant");
  }

  /** @param {number} place */
  function pick(place) {
    const item = items[place];
    input.value = "";
    close();
    onPick(item);
  }

  /**
   * @param {Item} item
   * @param {number} place
   */
  function optionOf({ id: raw, name, known }, place) {
    const detail = known ? (name === raw ? "" : raw) : "unknown to the model, ignored";
    const option = element(
      "li",
      { id: `${id}-${place}`, role: "option", class: known ? "" : "unknown" },
      element("span", {}, name),
      element("span", { class: "soft" }, detail),
    );
    option.addEventListener("click", () => pick(place));
    return option;
  }

  /** @param {number} step */
  function move(step) {
    if (list.hidden) open();
    const count = items.length;
    if (count) activate(active < 0 ? (step > 0 ? 0 : count - 1) : (active + step + count) % count);
  }

  /** @type {Record<string, () => boolean | void>} false: the key keeps its meaning */
  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Enter: () => {
      if (!list.hidden && active >= 0) pick(active);
    },
    Escape: () => {
      if (list.hidden) input.value = "";
      else close();
    },
    Backspace: () => {
      if (input.value || !onErase) return false;
      onErase();
    },
  };
  input.addEventListener("keydown", (event) => {
    if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey) return;
    if (keys[event.key] && keys[event.key]() !== false) event.preventDefault();
  });
  input.addEventListener("input", () => (input.value.trim() ? open() : close()));
  input.addEventListener("click", () => {
    if (list.hidden) open();
  });
  input.addEventListener("blur", close);
  list.addEventListener("mousedown", (event) => event.preventDefault()); // or the box would lose the focus
}
