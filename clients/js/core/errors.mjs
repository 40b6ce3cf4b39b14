// @ts-check
/** Errors of a bundle or of its caller, and their wording. */

/** An input that cannot be used. The message names the value and the remedy. */
export class InputError extends Error {}

/** A failed check: a file was changed, or numbers differ. */
export class CheckError extends Error {}

/** @param {unknown} error */
export function messageOf(error) {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0];
}
