// @ts-check
/** Items and their names, searched by typed text. */

import { idOf } from "@bst/core";

/** @import { Vocabulary, VocabularyFacts } from "@bst/core" */

/**
 * @typedef {object} Item
 * @property {string} id
 * @property {string} name  the id itself, where there is no name
 * @property {boolean} known  whether the model knows it
 */

export class Catalogue {
  /**
   * @param {Vocabulary} vocabulary
   * @param {VocabularyFacts} facts  of it
   */
  constructor(vocabulary, facts) {
    this.facts = facts;
    this.vocabulary = vocabulary;
    this.searched = vocabulary.ids.map((id, place) => `${vocabulary.names?.[place] ?? ""} ${id}`.toLowerCase());
  }

  /**
   * @param {string} id
   * @returns {Item}
   */
  item(id) {
    return { id, name: this.vocabulary.name(id) ?? id, known: this.vocabulary.index(id) > 0 };
  }

  /**
   * Find items of that name; any text that can be an id may be picked, known or not.
   * @param {string} text
   * @param {number} limit
   * @returns {Item[]}
   */
  search(text, limit) {
    const matches = this.named(text, limit);
    const typed = this.typedId(text);
    if (!typed) return matches;
    const others = matches.filter(({ id }) => id !== typed.id);
    return typed.known ? [typed, ...others] : [...others, typed];
  }

  /** @param {string} text */
  typedId(text) {
    try {
      return text ? this.item(String(idOf(text, this.facts, ""))) : null;
    } catch {
      return null; // a word to search for
    }
  }

  /**
   * Items in which every typed word begins a word come first, then those that contain all of them.
   * @param {string} text
   * @param {number} limit
   * @returns {Item[]}
   */
  named(text, limit) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const [first, others] = [/** @type {string[]} */ ([]), /** @type {string[]} */ ([])];
    const begins = words.map((word) => new RegExp(`(^|[^\\p{L}\\p{N}])${escaped(word)}`, "u"));
    for (const [place, searched] of this.searched.entries()) {
      if (!words.every((word) => searched.includes(word))) continue;
      const found = begins.every((one) => one.test(searched)) ? first : others;
      if (found.length < limit) found.push(this.vocabulary.ids[place]);
      if (first.length >= limit) break;
    }
    return [...first, ...others].slice(0, limit).map((id) => this.item(id));
  }
}

/** @param {string} text */
function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}
