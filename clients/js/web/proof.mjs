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
    return { good: report.ok, message: report.failure ?? good, json: report };
  });
  onPress("bench", async (tell) => {
    const measured = await model.bench((done) => tell(`${done.toLocaleString("en")} calls`));
    const [half, most] = [measured.p50_us, measured.p99_us].map((us) => `${(us / 1000).toFixed(2)} ms`);
    const message = `Half of the calls take at most ${half}, 99 of 100 at most ${most}.`;
    return { good: true, message, json: measured };
  });
}

/**
 * @param {string} id  of the button; its message and report are in `<id>-said` and `<id>-json`
 * @param {(tell: (step: string) => Promise<void>) => Promise<{ good: boolean, message: string, json: object }>} work
 */
function onPress(id, work) {
  const button = /** @type {HTMLButtonElement} */ (byId(id));
  const [message, json] = [byId(`${id}-said`), byId(`${id}-json`)];
  const details = /** @type {HTMLDetailsElement} */ (json.parentElement);
  const tell = async (/** @type {string} */ step) => {
    message.textContent = `${step} ...`;
    await new Promise((resolve) => setTimeout(resolve)); // or the browser would not draw it
  };
  button.onclick = async () => {
    button.disabled = true;
    details.hidden = true;
    message.className = "soft";
    try {
      const result = await work(tell);
      message.replaceChildren(...result.message.split("; ").map((line) => element("span", {}, line)));
      message.className = result.good ? "good" : "bad";
      json.textContent = toJson(result.json);
      details.hidden = false;
    } catch (error) {
      message.textContent = troubleOf(error).lines.join("; ");
      message.className = "bad";
    }
    button.disabled = false;
    button.focus();
  };
}
