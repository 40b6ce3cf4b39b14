// @ts-check
/** The loading of the page: from the first byte to the model, or to an error message. */

import { loadModel } from "./model.mjs";
import { keepForOffline } from "./offline.mjs";
import { Page } from "./page.mjs";
import { showProof } from "./proof.mjs";
import { troubleOf } from "./trouble.mjs";
import { byId, element } from "./view.mjs";

async function start() {
  byId("trouble").hidden = true;
  byId("loading").hidden = false;
  try {
    const model = await loadModel(showProgress);
    await new Page(model).show();
    showProof(model);
    byId("ready").hidden = false;
    byId("loading").hidden = true;
    const kept = await keepForOffline(model.files);
    byId("offline").textContent = kept ? "works offline" : "offline only while this page stays open";
    model.files.clear();
  } catch (error) {
    byId("loading").hidden = true;
    showTrouble(error);
  }
}

/**
 * @param {number} done  bytes
 * @param {number} total
 */
function showProgress(done, total) {
  const progress = /** @type {HTMLProgressElement} */ (byId("progress"));
  progress.max = Math.max(total, done);
  progress.value = done;
  byId("loaded").textContent = `${(done / 1e6).toFixed(1)} of ${(progress.max / 1e6).toFixed(1)} MB`;
}

/** @param {unknown} error */
function showTrouble(error) {
  const { title, lines, remedy } = troubleOf(error);
  const section = byId("trouble");
  const [heading, list, paragraph, button] = /** @type {HTMLElement[]} */ ([...section.children]);
  heading.textContent = title;
  list.replaceChildren(...lines.map((line) => element("li", {}, ...withHashes(line))));
  paragraph.textContent = remedy;
  button.onclick = start;
  section.hidden = false;
}

/** @param {string} line */
function withHashes(line) {
  return line.split(/ ?\b([0-9a-f]{64})\b,? ?/).map((part, place) => (place % 2 ? element("code", {}, part) : part));
}

start();
