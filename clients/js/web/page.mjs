// @ts-check
/** The page once the model is loaded: it calls the model with the chosen items and draws the answer. */

import { idOf, messageOf } from "@bst/core";
import { Catalogue } from "./catalogue.mjs";
import { combobox } from "./combobox.mjs";
import { byId, contextSelect, countInput, drawList, fillChip, fillRankingRow, fromTemplate } from "./view.mjs";
import { basisOf, factsOf, noteOn, timesOf } from "./words.mjs";

/** @import { Item } from "./catalogue.mjs" */
/** @import { Model } from "./model.mjs" */

const SHOWN_OPTIONS = 40;

export class Page {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.manifest = model.bundle.manifest;
    this.catalogue = new Catalogue(model.vocabularies.items);
    /** @type {Item[]} */
    this.history = [];
    /** @type {Record<string, string>} */
    this.context = {};
    /** @type {number | undefined} */
    this.k = undefined;
    /** @type {string[]} */
    this.candidates = [];
    /** @type {number[]} */
    this.times = [];
    this.turn = 0;
  }

  /** Draw for the first time, and again after each change. */
  async show() {
    byId("facts").textContent = factsOf(this.model);
    byId("score").hidden = !this.model.scores;
    this.listen();
    this.addContext();
    await this.model.recommend(this.user); // the first call of a session is slow, so its answer is not drawn
    await this.update();
  }

  get user() {
    return { history: this.history.map(({ id }) => id), context: this.context, k: this.k };
  }

  listen() {
    const search = (/** @type {string} */ text) => this.search(text);
    combobox(byId("pick"), {
      search,
      onPick: (item) => this.setHistory([...this.history, item]),
      onErase: () => this.setHistory(this.history.slice(0, -1)),
    });
    combobox(byId("ask"), { search, onPick: ({ id }) => this.setCandidates([...new Set([...this.candidates, id])]) });
    onButton("history", ({ place }) => this.remove(Number(place)));
    onButton("recommended", ({ id = "" }) => this.setHistory([...this.history, this.catalogue.item(id)]));
    onButton("scored", ({ id }) => this.setCandidates(this.candidates.filter((one) => one !== id)));
    byId("clear").onclick = () => {
      this.setHistory([]);
      byId("pick-input").focus();
    };
  }

  addContext() {
    const { vocabularies } = this.model;
    for (const { name } of this.manifest.model.context) {
      const onChange = (/** @type {string} */ value) => {
        this.context[name] = value;
        this.update();
      };
      byId("context").append(contextSelect(name, vocabularies.context[name], onChange));
    }
    const { maxK } = this.model;
    const onCount = (/** @type {number} */ k) => {
      this.k = k;
      this.update();
    };
    if (maxK !== null) byId("count").append(countInput(Math.min(10, maxK), maxK, onCount));
  }

  /** @param {Item[]} history */
  setHistory(history) {
    this.history = history;
    return this.update();
  }

  /** @param {string[]} candidates */
  setCandidates(candidates) {
    this.candidates = candidates;
    return this.update();
  }

  /** @param {number} place */
  async remove(place) {
    await this.setHistory(this.history.toSpliced(place, 1));
    const next = /** @type {HTMLElement | null} */ (byId("history").children[place]?.querySelector("button"));
    (next ?? byId("pick-input")).focus();
  }

  /**
   * Find items of that name; any text that can be an id may be picked, known or not.
   * @param {string} text
   */
  search(text) {
    const matches = this.catalogue.search(text, SHOWN_OPTIONS);
    const typed = this.typedId(text);
    if (!typed) return matches;
    const others = matches.filter(({ id }) => id !== typed.id);
    return typed.known ? [typed, ...others] : [...others, typed];
  }

  /** @param {string} text */
  typedId(text) {
    try {
      return text ? this.catalogue.item(String(idOf(text, this.manifest.items, ""))) : null;
    } catch {
      return null; // a word to search for
    }
  }

  /** Call the model and draw; an answer that a newer call has overtaken is not drawn. */
  async update() {
    const turn = (this.turn += 1);
    const { user, candidates } = this;
    try {
      const { ids, scores, ms } = await this.model.recommend(user);
      const chosenScores = candidates.length ? await this.model.score({ ...user, candidates }) : [];
      this.times.push(ms);
      if (turn !== this.turn) return;
      const best = ids.map((id, place) => ({ item: this.catalogue.item(id), score: scores[place] }));
      const scored = candidates.map((id, place) => ({ item: this.catalogue.item(id), score: chosenScores[place] }));
      this.draw(
        best,
        scored.sort((one, other) => other.score - one.score || 0),
      );
    } catch (error) {
      byId("basis").textContent = messageOf(error);
    }
  }

  /**
   * @param {{ item: Item, score: number }[]} best
   * @param {{ item: Item, score: number }[]} scored
   */
  draw(best, scored) {
    const high = best[0]?.score ?? 0;
    const low = Math.min(0, ...best.map(({ score }) => score));
    const fill = (/** @type {string} */ action) => (/** @type {HTMLElement} */ row, /** @type {any} */ one) =>
      fillRankingRow(row, { ...one, action, share: (one.score - low) / (high - low) });
    drawList(byId("history"), this.history, () => fromTemplate("chip"), fillChip);
    drawList(byId("recommended"), best, () => fromTemplate("recommended-row"), fill("Add to the history:"));
    drawList(byId("scored"), scored, () => fromTemplate("scored-row"), fill("Do not score any longer:"));
    byId("history-foot").hidden = !this.history.length;
    byId("history-note").textContent = noteOn(this.history, this.manifest.model.max_length);
    byId("basis").textContent = basisOf(this.history, this.context, this.manifest);
    byId("latency").textContent = timesOf(this.times);
    byId("said").textContent = best.length
      ? `${best.length} recommended, first ${best[0].item.name}`
      : "none recommended";
  }
}

/**
 * @param {string} list
 * @param {(data: DOMStringMap) => void} onClick
 */
function onButton(list, onClick) {
  byId(list).addEventListener("click", ({ target }) => {
    const button = target instanceof Element && target.closest("button");
    if (button) onClick(button.dataset);
  });
}
