// @ts-check
/** Errors of a bundle or of its caller, and their wording. */

/** Something that the user gave cannot be used. The message names the value and the remedy. */
export class InputError extends Error {}

/** A file is not what it was, or numbers differ. */
export class CheckError extends Error {}

/** @param {unknown} error */
export function messageOf(error) {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0];
}
