// @ts-check
/** JSON with integers of 64 bits, and numbers in messages. */

const MOST_NESTED = 64;
const INTEGER = "\uE000"; // begins what was an integer and waits to become a `bigint`

/** @param {Uint8Array} bytes */
function textOf(bytes) {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

/**
 * Read JSON without losing integers: those of 16 characters and more, which a double may not hold, come as text.
 * @param {string | Uint8Array} content  bytes are UTF-8
 * @returns {any}
 */
export function parseJson(content) {
  const text = typeof content === "string" ? content : textOf(content);
  const exact = text.replace(/"(?:[^"\\]|\\.)*"|[-+.\deE]{16,}/g, (token) =>
    /^-?\d+$/.test(token) ? `"${token}"` : token,
  );
  return JSON.parse(exact);
}

/**
 * Read JSON and keep 1 and 1.0 apart: a number without a fraction comes as a `bigint`.
 * @param {Uint8Array} bytes  UTF-8
 * @returns {any}
 */
export function parseExactJson(bytes) {
  const text = textOf(bytes);
  JSON.parse(text); // refuses what the marks below would hide
  let depth = 0;
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|[[{]|[\]}]|[-+.\deE]+/g, (token) => {
    if (/^[[{]$/.test(token) && (depth += 1) > MOST_NESTED) throw new Error(`it is nested deeper than ${MOST_NESTED}`);
    if (/^[\]}]$/.test(token)) depth -= 1;
    return /^-?\d+$/.test(token) ? `"${INTEGER}${token}"` : token;
  });
  return JSON.parse(marked, (_, value) => {
    if (value === Infinity || value === -Infinity) throw new Error("a number in it is too large");
    return typeof value === "string" && value.startsWith(INTEGER) ? BigInt(value.slice(1)) : value;
  });
}

/**
 * Write JSON, a `bigint` as the number that it is, and what is not finite as null.
 * @param {unknown} value
 * @returns {string}
 */
export function toJson(value) {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${value.map(toJson).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([name, one]) => `${JSON.stringify(name)}: ${toJson(one)}`)
    .join(", ")}}`;
}

/**
 * A number as Python writes it with `e`: 1e-05, not 1e-5, and nan and inf. Messages are the same in every client.
 * @param {number} value
 * @param {number} digits
 */
export function pythonic(value, digits) {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "inf").toLowerCase();
  return value.toExponential(digits).replace(/e([-+])(\d)$/, "e$10$2");
}
