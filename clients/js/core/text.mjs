// @ts-check
/** JSON with integers of 64 bits, and numbers in messages. */

/**
 * Read JSON without losing integers: those of 16 characters and more, which a double may not hold, come as text.
 * @param {string | Uint8Array} content  bytes are UTF-8
 * @returns {any}
 */
export function parseJson(content) {
  const text = typeof content === "string" ? content : new TextDecoder("utf-8", { fatal: true }).decode(content);
  const exact = text.replace(/"(?:[^"\\]|\\.)*"|[-+.\deE]{16,}/g, (token) =>
    /^-?\d+$/.test(token) ? `"${token}"` : token,
  );
  return JSON.parse(exact);
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
 * A number as Python writes it with `e`: 1e-05, not 1e-5. Messages are the same in every client.
 * @param {number} value
 * @param {number} digits
 */
export function pythonic(value, digits) {
  return value.toExponential(digits).replace(/e([-+])(\d)$/, "e$10$2");
}
