// @ts-check
/** The proof and the stopwatch: golden vectors are replayed and compared, and one of them is timed. */

import { CheckError, InputError, checkFiles, formatOf, signatureOf } from "./bundle.mjs";
import { compare } from "./parity.mjs";
import { checkRuntime } from "./session.mjs";
import { messageOf, parseJson } from "./text.mjs";

/** @import { Bundle, Dtype, FormatRecord, TensorSpec } from "./bundle.mjs" */
/** @import { Input } from "./inputs.mjs" */
/** @import { Answer, Open, Session } from "./session.mjs" */

const WARM_UP_CALLS = 20;

/**
 * @typedef {{ name: string, inputs: Record<string, Input>, outputs: Answer }} GoldenCase
 * @typedef {object} Verdict
 * @property {string} format
 * @property {string} signature
 * @property {number} cases
 * @property {number} rows
 * @property {number} max_error  the largest of all calls, relative
 * @property {number} swaps
 *
 * @typedef {{ ok: boolean, failure: string | null, verdicts: Verdict[], warnings: string[] }} Report
 */

/**
 * @param {FormatRecord} record
 * @param {string} name  of the signature
 */
export function goldenOf(record, name) {
  return `${record.golden}/${name}.json`;
}

/**
 * Read the recorded calls of a signature. In float outputs null stands for -inf, which JSON does not have.
 * @param {Bundle} bundle
 * @param {string} name
 * @returns {Promise<GoldenCase[]>}
 */
export async function readGolden({ source, manifest }, name) {
  const record = formatOf(manifest, "onnx");
  const path = goldenOf(record, name);
  const signature = signatureOf(manifest, name, record.ids);
  try {
    const { cases } = parseJson(new TextDecoder().decode(await source.read(path)));
    return cases.map((/** @type {any} */ one) => ({
      name: one.name,
      inputs: tensorsOf(signature.inputs, one.inputs),
      outputs: {
        ...tensorsOf(signature.outputs, one.outputs),
        ...tensorsOf(["runner_up", "largest_score"].filter((key) => key in one.outputs).map(float32), one.outputs),
      },
    }));
  } catch (error) {
    throw new InputError(`${source.name}/${path} is not a file of golden vectors (${messageOf(error)}); export again`);
  }
}

/**
 * @param {string} name
 * @returns {TensorSpec}
 */
const float32 = (name) => ({ name, dtype: "float32", shape: ["batch"] });

/**
 * @param {TensorSpec[]} specs
 * @param {Record<string, any>} given  nested lists
 * @returns {Record<string, any>}
 */
function tensorsOf(specs, given) {
  return Object.fromEntries(
    specs.map(({ name, dtype, shape }) => {
      const nested = given[name];
      const dims = shape.length === 2 ? [nested.length, nested[0].length] : [nested.length];
      return [name, { dtype, dims, data: dataOf[dtype](nested.flat()) }];
    }),
  );
}

/** @type {Record<Dtype, (flat: any[]) => any>} */
const dataOf = {
  int64: (flat) => BigInt64Array.from(flat, BigInt),
  float32: (flat) => Float32Array.from(flat, (one) => one ?? -Infinity),
  string: (flat) => flat.map(String),
};

/**
 * Check every file, then replay every golden call. What fails is part of the report; only a bundle that cannot be read
 * at all rejects.
 * @param {Bundle} bundle
 * @param {string} version  of ONNX Runtime
 * @param {Open} open
 * @param {(step: string) => void | Promise<void>} [tell]
 * @returns {Promise<Report>}
 */
export async function verify(bundle, version, open, tell = () => {}) {
  const record = formatOf(bundle.manifest, "onnx");
  /** @type {Report} */
  const report = { ok: true, failure: null, verdicts: [], warnings: record.needs.remarks.map((one) => `onnx: ${one}`) };
  try {
    await tell("checking files");
    await checkFiles(bundle);
    checkRuntime(bundle, version);
    for (const name of Object.keys(record.entries)) {
      await tell(`replaying ${name}`);
      report.verdicts.push(await replay(bundle, name, open));
    }
  } catch (error) {
    if (!(error instanceof CheckError)) throw error;
    Object.assign(report, { ok: false, failure: error.message });
  }
  return report;
}

/**
 * @param {Bundle} bundle
 * @param {string} name
 * @param {Open} open
 * @returns {Promise<Verdict>}
 */
async function replay(bundle, name, open) {
  const golden = await readGolden(bundle, name);
  if (!golden.length) {
    throw new CheckError(`${bundle.source.name}: there is no golden case of ${name} to replay; export again`);
  }
  const session = await open(name);
  const { signature } = session;
  const found = [];
  try {
    for (const { inputs, outputs } of golden) {
      found.push(compare(signature, outputs, await session.run(inputs), bundle.manifest.tolerance));
    }
  } finally {
    await session.release();
  }
  const failures = found.filter((one) => one.failure);
  const considered = failures.length ? failures : found;
  const worst = considered.reduce((one, other) => (other.error > one.error ? other : one));
  if (worst.failure) {
    const { name: which } = golden[found.indexOf(worst)];
    const told = `${bundle.source.name}: onnx, ${name}, golden case '${which}': ${worst.failure}`;
    throw new CheckError(`${told} (${failures.length} of ${golden.length} calls fail)`);
  }
  const last = signature.outputs[signature.outputs.length - 1].name;
  const rows = golden.reduce((sum, one) => sum + one.outputs[last].dims[0], 0);
  const swaps = found.reduce((sum, one) => sum + one.swaps, 0);
  return { format: "onnx", signature: name, cases: golden.length, rows, max_error: worst.error, swaps };
}

/**
 * Time calls of `top_k`, from ids to ids and scores read out, one after the other.
 * @param {Bundle} bundle
 * @param {Session} session
 * @param {{ case: string, calls: number }} options
 * @param {(done: number) => void | Promise<void>} [tell]  now and then, between two calls
 */
export async function bench(bundle, session, options, tell = () => {}) {
  const golden = await readGolden(bundle, "top_k");
  const chosen = golden.find((one) => one.name === options.case);
  if (!chosen) {
    const known = golden.map((one) => one.name).join(", ");
    throw new InputError(`--case '${options.case}' is not a golden case of top_k; known: ${known}`);
  }
  const { inputs } = chosen;
  const [rows, length] = inputs[session.signature.inputs[0].name].dims;
  const outputs = session.signature.outputs.map((one) => one.name);
  /** @type {number[]} */
  const times = [];
  for (let call = -WARM_UP_CALLS; call < options.calls; call += 1) {
    if (call % 500 === 0) await tell(Math.max(call, 0));
    const started = performance.now();
    const answer = await session.run(inputs);
    for (const name of outputs) Array.from(answer[name].data);
    if (call >= 0) times.push(1000 * (performance.now() - started));
  }
  times.sort((one, other) => one - other);
  const at = (/** @type {number} */ share) => Math.round(10 * times[Math.ceil(share * times.length) - 1]) / 10;
  return {
    format: "onnx",
    signature: "top_k",
    case: options.case,
    rows,
    length,
    threads: 1,
    calls: options.calls,
    p50_us: at(0.5),
    p99_us: at(0.99),
  };
}
