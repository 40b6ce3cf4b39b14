// @ts-check
/** Errors while loading, each with a remedy. */

import { CheckError, InputError } from "@bst/core";
import { NoAnswer } from "./http.mjs";
import { Unsupported } from "./runtime.mjs";

const RESTORE = "export again or restore the files";

/**
 * @param {unknown} error
 * @returns {{ title: string, lines: string[], remedy: string }}
 */
export function troubleOf(error) {
  if (error instanceof Error && error.cause instanceof NoAnswer) return troubleOf(error.cause);
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof CheckError) {
    return {
      title: "A file is not what was exported",
      lines: message
        .replace(/^bundle: /, "")
        .split("; ")
        .filter((line) => line !== RESTORE), // one line a file
      remedy: "Nothing was run. Restore the file or export again; trying again helps if the bundle was just refreshed.",
    };
  }
  if (error instanceof InputError && message.includes("schema_version")) {
    return {
      title: "This bundle is of another version",
      lines: [message],
      remedy:
        "Export it again with the version that this page came with, or take the page of the version that wrote it.",
    };
  }
  if (error instanceof InputError) {
    return {
      title: "There is no bundle here",
      lines: [message],
      remedy: "Start the server with a bundle (node serve.mjs BUNDLE), or put one beside this page as bundle/.",
    };
  }
  if (error instanceof NoAnswer) {
    return {
      title: "The server does not answer",
      lines: [message],
      remedy: "Start it again, or go online, and try again.",
    };
  }
  if (error instanceof Unsupported)
    return { title: "The model cannot run here", lines: [message], remedy: error.remedy };
  return {
    title: "The model does not start",
    lines: [message],
    remedy: "Reload the page; if that does not help, take a current browser.",
  };
}
