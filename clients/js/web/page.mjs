// @ts-check
/** The page once the model is loaded: it calls the model with the chosen items and draws the answer. */

import { messageOf, namedInputs, vocabulariesOf } from "@bst/core";
import { Catalogue } from "./catalogue.mjs";
import { combobox } from "./combobox.mjs";
import { FIELDS, byId, chip, countInput, drawList, fillChip, fillRankingRow, fromTemplate } from "./view.mjs";
import { CLICKS, basisOf, factsOf, noteOn, timesOf } from "./words.mjs";

/** @import { Value } from "@bst/core" */
/** @import { Item } from "./catalogue.mjs" */
/** @import { Model, Ranked } from "./model.mjs" */

/** @typedef {Item & { values: Record<string, Value> }} Picked  with values of the event, by input */

const SHOWN_OPTIONS = 40; // and one more, for a typed id

export class Page {
  /** @param {Model} model */
  constructor(model) {
    this.model = model;
    this.manifest = model.bundle.manifest;
    this.catalogue = new Catalogue(model.vocabularies.items, this.manifest.items);
    this.ofRequest = namedInputs(this.manifest.model, "request");
    this.ofEvents = namedInputs(this.manifest.model, "event");
    this.ofCandidates = namedInputs(this.manifest.model, "candidate");
    this.history = /** @type {Picked[]} */ ([]);
    this.context = /** @type {Record<string, Value>} */ ({}); // what is known
    this.asked = /** @type {Record<string, Value>} */ ({}); // likewise, of all candidates
    this.k = /** @type {number | undefined} */ (undefined);
    this.candidates = /** @type {string[]} */ ([]);
    this.times = /** @type {number[]} */ ([]);
    this.turn = 0;
  }

  /** Draw for the first time, and again after each change. */
  async show() {
    byId("facts").textContent = factsOf(this.model);
    byId("score").hidden = !this.model.scores;
    if (this.model.clicks) this.showClicks();
    this.listen();
    this.addContext();
    const [first] = this.model.vocabularies.items.ids;
    // The first call of a session is slow, so its answer is not drawn.
    await this.model.answer({ ...this.user, candidateFeatures: {} }, [first]);
    await this.update();
  }

  /** Put the chosen items, with their probabilities, in the place of what is recommended. */
  showClicks() {
    for (const [id, text] of Object.entries(CLICKS)) byId(id).textContent = text;
    document.title = CLICKS.title;
    byId("basis").after(byId("ask"), byId("scored"));
    for (const id of ["recommended", "score"]) byId(id).hidden = true;
  }

  get user() {
    /** @type {<T>(inputs: Map<string, unknown>, valueOf: (name: string) => T) => Record<string, T>} */
    const byName = (inputs, valueOf) => Object.fromEntries([...inputs.keys()].map((name) => [name, valueOf(name)]));
    return {
      history: this.history.map(({ id }) => id),
      context: { ...this.context, ...timeOf("request_time", this.ofRequest) },
      events: byName(this.ofEvents, (name) => this.history.map(({ values }) => values[name] ?? null)),
      candidateFeatures: byName(this.ofCandidates, (name) => this.candidates.map(() => this.asked[name] ?? null)),
      k: this.k,
    };
  }

  listen() {
    const search = (/** @type {string} */ text) => this.catalogue.search(text, SHOWN_OPTIONS);
    combobox(byId("pick"), {
      search,
      onPick: (item) => this.add(item),
      onErase: () => this.setHistory(this.history.slice(0, -1)),
    });
    combobox(byId("ask"), { search, onPick: ({ id }) => this.setCandidates([...new Set([...this.candidates, id])]) });
    onButton("history", ({ place }) => this.remove(Number(place)));
    onButton("recommended", ({ id = "" }) => this.add(this.catalogue.item(id)));
    onButton("scored", ({ id }) => this.setCandidates(this.candidates.filter((one) => one !== id)));
    byId("history").addEventListener("change", ({ target }) => {
      const { name, value, dataset } = /** @type {HTMLSelectElement} */ (target);
      this.choose(Number(dataset.place), name, value);
    });
    byId("clear").onclick = () => {
      this.setHistory([]);
      byId("pick-input").focus();
    };
  }

  addContext() {
    const { vocabularies } = this.model;
    for (const [name, group] of [...this.ofRequest, ...this.ofCandidates]) {
      const known = group.of === "request" ? this.context : this.asked;
      const onChange = (/** @type {Value} */ value) => {
        if (value === null) delete known[name];
        else known[name] = value;
        this.update();
      };
      const field = FIELDS.get(group.kind)?.(name, vocabulariesOf(group, vocabularies)[name], onChange);
      if (field) byId("context").append(field);
    }
    byId("times-note").hidden = !this.ofRequest.has("request_time");
    const { maxK } = this.model;
    const onCount = (/** @type {number} */ k) => {
      this.k = k;
      this.update();
    };
    if (maxK !== null) byId("count").append(countInput(Math.min(10, maxK), maxK, onCount));
  }

  /** @param {Item} item */
  add(item) {
    return this.setHistory([...this.history, { ...item, values: timeOf("event_time", this.ofEvents) }]);
  }

  /**
   * Set a value of the event at a place.
   * @type {(place: number, name: string, value: Value) => Promise<void>}
   */
  choose(place, name, value) {
    const picked = this.history[place];
    return this.setHistory(this.history.with(place, { ...picked, values: { ...picked.values, [name]: value } }));
  }

  /** @param {Picked[]} history */
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

  /** Call the model and draw; an answer that a newer call has overtaken is not drawn. */
  async update() {
    const turn = (this.turn += 1);
    const { user, candidates } = this;
    try {
      const { best, scored, ms } = await this.model.answer(user, candidates);
      if (ms !== null) this.times.push(ms);
      if (turn === this.turn) this.draw(best, scored);
    } catch (error) {
      byId("basis").textContent = messageOf(error);
    }
  }

  /**
   * @param {Ranked[]} best
   * @param {Ranked[]} scored
   */
  draw(best, scored) {
    const { clicks } = this.model;
    const item = ({ id = "" }) => this.catalogue.item(id);
    const high = clicks ? 1 : (best[0]?.score ?? 0);
    const low = Math.min(0, ...best.map(({ score }) => score));
    const fill = (/** @type {string} */ action) => (/** @type {HTMLElement} */ row, /** @type {any} */ one) =>
      fillRankingRow(row, { ...one, item: item(one), action, share: (one.score - low) / (high - low), isProbability: clicks });
    drawList(byId("history"), this.history, () => chip(this.model.vocabularies.events), fillChip);
    drawList(byId("recommended"), best, () => fromTemplate("recommended-row"), fill("Add to the history:"));
    drawList(byId("scored"), scored, () => fromTemplate("scored-row"), fill("Do not score any longer:"));
    byId("history-foot").hidden = !this.history.length;
    byId("history-note").textContent = noteOn(this.history, this.manifest.model.max_length);
    byId("basis").textContent = basisOf(this.history, this.context, this.manifest, scored.length);
    byId("latency").textContent = timesOf(this.times);
    const [drawn, verb] = clicks ? [scored, "scored"] : [best, "recommended"];
    byId("said").textContent = drawn.length ? `${drawn.length} ${verb}, first ${item(drawn[0]).name}` : `none ${verb}`;
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

/**
 * The seconds since 1970, by the name of an input, if there is one.
 * @param {string} name
 * @param {Map<string, unknown>} inputs
 * @returns {Record<string, Value>}
 */
function timeOf(name, inputs) {
  return inputs.has(name) ? { [name]: Math.floor(Date.now() / 1000) } : {};
}
