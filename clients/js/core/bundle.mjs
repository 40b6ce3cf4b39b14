// @ts-check
/** A bundle that answers: ids in, ids out, a session a signature. */

import { idFrom, idOf } from "./ids.mjs";
import { userInputs } from "./inputs.mjs";
import { formatOf, signatureOf } from "./manifest/manifest.mjs";
import { kOf, rankingsOf } from "./rankings.mjs";
import { openSession } from "./session.mjs";
import { PROBABILITIES, rowsOf } from "./tensors.mjs";

/** @import { Source } from "./contents.mjs" */
/** @import { Id } from "./ids.mjs" */
/** @import { User } from "./inputs.mjs" */
/** @import { Manifest } from "./manifest/manifest.mjs" */
/** @import { Ranking } from "./rankings.mjs" */
/** @import { Runtime, Session } from "./session.mjs" */
/** @import { Vocabularies } from "./vocabulary.mjs" */

/** @typedef {{ candidates: Id[], scores: number[], probabilities?: number[] }} Scored */

export class Bundle {
  /**
   * @param {object} parts  of a bundle whose files were checked
   * @param {Source} parts.source
   * @param {Manifest} parts.manifest
   * @param {Runtime} parts.runtime
   * @param {Vocabularies | null} parts.vocabularies  where ids are looked up here
   */
  constructor({ source, manifest, runtime, vocabularies }) {
    this.source = source;
    this.manifest = manifest;
    this.runtime = runtime;
    this.vocabularies = vocabularies;
    /** @type {Map<string, Promise<Session>>} */
    this.sessions = new Map();
  }

  /** @param {string} name */
  signature(name) {
    return signatureOf(this.manifest, name, formatOf(this.manifest, "onnx").ids);
  }

  /**
   * Load a signature, once.
   * @param {string} name
   */
  session(name) {
    const session = this.sessions.get(name) ?? openSession(this, name);
    this.sessions.set(name, session);
    return session;
  }

  /**
   * The best items for a user; at most `k` of them, as many as the bundle gives by default.
   * @param {User & { k?: number }} user
   * @returns {Promise<Ranking>}
   */
  async recommend({ k, ...user } = {}) {
    return (await this.recommendAll([user], k))[0];
  }

  /**
   * The same for several users in one call.
   * @param {User[]} users
   * @param {number} [k]
   */
  async recommendAll(users, k) {
    const signature = this.signature("top_k");
    const limit = kOf(signature, k);
    const inputs = userInputs(this, signature, users, limit);
    const { run } = await this.session("top_k");
    return rankingsOf(this, signature, await run(inputs), limit);
  }

  /**
   * The score of each candidate, -Infinity of one that the model does not know; of a click model its probability too,
   * which is then 0.
   * @param {User} user
   * @returns {Promise<Scored>}
   */
  async score(user) {
    return (await this.scoreAll([user]))[0];
  }

  /**
   * The same for several users in one call.
   * @param {User[]} users  with equally many candidates
   */
  async scoreAll(users) {
    const inputs = userInputs(this, this.signature("score_candidates"), users);
    const { run } = await this.session("score_candidates");
    const answer = await run(inputs);
    const { items } = this.manifest;
    const scores = rowsOf(answer.scores);
    const probabilities = answer[PROBABILITIES] && rowsOf(answer[PROBABILITIES]);
    return users.map(({ candidates = [] }, row) => ({
      candidates: Array.from(candidates, (id) => idFrom(idOf(id, items, "candidates"), items)),
      scores: scores[row],
      ...(probabilities && { probabilities: probabilities[row] }),
    }));
  }

  /** Release the sessions; no call may be under way. */
  async close() {
    const sessions = await Promise.all(this.sessions.values());
    this.sessions.clear();
    await Promise.all(sessions.map((session) => session.release()));
  }
}
