// @ts-check
/** The proof: files are hashed, golden vectors are replayed and compared. */

import { checkFiles, shortened, strangersOf } from "../contents.mjs";
import { CheckError } from "../errors.mjs";
import { formatOf } from "../manifest/manifest.mjs";
import { checkRuntime, openSession } from "../session.mjs";
import { readGolden } from "./golden.mjs";
import { compare } from "./parity.mjs";

/** @import { Runnable } from "../session.mjs" */

/**
 * @typedef {object} Verdict
 * @property {string} format
 * @property {string} signature
 * @property {number} cases
 * @property {number} rows
 * @property {number | null} max_error  the largest of all calls, relative; null without a call, where the golden file
 *   was left out and the signature only loaded
 * @property {number} swaps
 *
 * @typedef {{ ok: boolean, failure: string | null, verdicts: Verdict[], warnings: string[] }} Report
 */

/**
 * Check every file, then replay every golden call. A failure is part of the report; the promise rejects only for a
 * bundle that cannot be read at all.
 * @param {Runnable} bundle
 * @param {(step: string) => void | Promise<void>} [tell]
 * @returns {Promise<Report>}
 */
export async function verify(bundle, tell = () => {}) {
  const { entries, needs } = formatOf(bundle.manifest, "onnx");
  /** @type {Report} */
  const report = {
    ok: true,
    failure: null,
    verdicts: [],
    warnings: (needs.remarks ?? []).map((remark) => `onnx: ${remark}`),
  };
  try {
    await tell("checking files");
    const notes = await checkFiles(bundle);
    const strangers = await strangersOf(bundle);
    if (strangers.length) notes.push(`not of the bundle, and left alone: ${shortened(strangers)}`);
    checkRuntime(bundle);
    for (const name of Object.keys(entries)) {
      await tell(`replaying ${name}`);
      report.verdicts.push(await replay(bundle, name));
    }
    report.warnings.push(...notes);
  } catch (error) {
    if (!(error instanceof CheckError)) throw error;
    Object.assign(report, { ok: false, failure: error.message });
  }
  return report;
}

/**
 * @param {Runnable} bundle
 * @param {string} name
 * @returns {Promise<Verdict>}
 */
async function replay(bundle, name) {
  const golden = await readGolden(bundle, name);
  if (!golden) {
    await (await openSession(bundle, name)).release();
    return { format: "onnx", signature: name, cases: 0, rows: 0, max_error: null, swaps: 0 };
  }
  if (!golden.length) {
    throw new CheckError(`${bundle.source.name}: there is no golden case of ${name} to replay; export again`);
  }
  const session = await openSession(bundle, name);
  const { signature } = session;
  const comparisons = [];
  try {
    for (const { inputs, outputs } of golden) {
      comparisons.push(compare(signature, outputs, await session.run(inputs), bundle.manifest.tolerance));
    }
  } finally {
    await session.release();
  }
  const failures = comparisons.filter(({ failure }) => failure);
  const considered = failures.length ? failures : comparisons;
  const worst = considered.reduce((one, other) => (other.error > one.error ? other : one));
  if (worst.failure) {
    const { name: which } = golden[comparisons.indexOf(worst)];
    const message = `${bundle.source.name}: onnx, ${name}, golden case '${which}': ${worst.failure}`;
    throw new CheckError(`${message} (${failures.length} of ${golden.length} calls fail)`);
  }
  const last = signature.outputs[signature.outputs.length - 1].name;
  const rows = golden.reduce((sum, call) => sum + call.outputs[last].dims[0], 0);
  const swaps = comparisons.reduce((sum, comparison) => sum + comparison.swaps, 0);
  return { format: "onnx", signature: name, cases: golden.length, rows, max_error: worst.error, swaps };
}
