// @ts-check
/** The names in a manifest. */

/** What every language takes for a name. */
export const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** @param {string[]} names */
export function repeated(names) {
  return [...new Set(names.filter((name, place) => names.indexOf(name) !== place))];
}
