// @ts-check
/** Two buttons: the golden vectors replayed in this browser, and a call timed. */

import { toJson } from "@bst/core";
import { troubleOf } from "./trouble.mjs";
import { byId, element, verdictTable } from "./view.mjs";

/** @import { Model } from "./model.mjs" */

/** @param {Model} model */
export function showProof(model) {
  onPress("verify", async (tell) => {
    byId("verify-table").replaceChildren();
    const report = await model.verify(tell);
    byId("verify-table").replaceChildren(verdictTable(report));
    const calls = report.verdicts.reduce((sum, one) => sum + one.cases, 0);
    const files = model.bundle.manifest.files.length.toLocaleString("en");
    const good = `All ${files} files are whole, and ${calls} recorded calls give the answers of the trained model.`;
    return { good: report.ok, said: report.failure ?? good, json: report };
  });
  onPress("bench", async (tell) => {
    const measured = await model.bench((done) => tell(`${done.toLocaleString("en")} calls`));
    const [half, most] = [measured.p50_us, measured.p99_us].map((us) => `${(us / 1000).toFixed(2)} ms`);
    return { good: true, said: `Half of the calls take at most ${half}, 99 of 100 at most ${most}.`, json: measured };
  });
}

/**
 * @param {string} id  of the button; what it says stands in `<id>-said` and `<id>-json`
 * @param {(tell: (step: string) => Promise<void>) => Promise<{ good: boolean, said: string, json: object }>} work
 */
function onPress(id, work) {
  const button = /** @type {HTMLButtonElement} */ (byId(id));
  const [said, json] = [byId(`${id}-said`), byId(`${id}-json`)];
  const details = /** @type {HTMLDetailsElement} */ (json.parentElement);
  const tell = async (/** @type {string} */ step) => {
    said.textContent = `${step} ...`;
    await new Promise((resolve) => setTimeout(resolve)); // or the browser would not draw it
  };
  button.onclick = async () => {
    button.disabled = true;
    details.hidden = true;
    said.className = "soft";
    try {
      const found = await work(tell);
      said.replaceChildren(...found.said.split("; ").map((line) => element("span", {}, line)));
      said.className = found.good ? "good" : "bad";
      json.textContent = toJson(found.json);
      details.hidden = false;
    } catch (error) {
      said.textContent = troubleOf(error).told.join("; ");
      said.className = "bad";
    }
    button.disabled = false;
    button.focus();
  };
}
