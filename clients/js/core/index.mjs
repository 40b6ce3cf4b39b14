// @ts-check
/** The public names of `@bst/core`: a bundle without runtime and file system, which the caller provides. */

export { bench } from "./proof/bench.mjs";
export { Bundle } from "./bundle.mjs";
export { checkFiles, filesOf } from "./contents.mjs";
export { CheckError, InputError, messageOf } from "./errors.mjs";
export { goldenOf } from "./proof/golden.mjs";
export { idOf } from "./inputs.mjs";
export { formatOf, readManifest } from "./manifest/manifest.mjs";
export { compare } from "./proof/parity.mjs";
export { verify } from "./proof/proof.mjs";
export { checkRuntime } from "./session.mjs";
export { parseJson, toJson } from "./text.mjs";
export { VOCABULARY, Vocabulary, readVocabularies } from "./vocabulary.mjs";

/**
 * @typedef {import("./contents.mjs").Source} Source
 * @typedef {import("./inputs.mjs").Id} Id
 * @typedef {import("./inputs.mjs").User} User
 * @typedef {import("./manifest/manifest.mjs").Manifest} Manifest
 * @typedef {import("./proof/proof.mjs").Report} Report
 * @typedef {import("./session.mjs").Runtime} Runtime
 * @typedef {import("./vocabulary.mjs").Vocabularies} Vocabularies
 */
