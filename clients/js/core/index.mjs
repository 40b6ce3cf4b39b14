// @ts-check
/** The public names of `@bst/core`: a bundle without runtime and file system, which the caller provides. */

export { bench } from "./proof/bench.mjs";
export { Bundle } from "./bundle.mjs";
export { checkFiles, filesOf } from "./contents.mjs";
export { CheckError, InputError, messageOf } from "./errors.mjs";
export { goldenOf } from "./proof/golden.mjs";
export { CATEGORIES, NUMBERS, namedInputs, sequenceNames, vocabulariesOf } from "./groups.mjs";
export { idOf } from "./ids.mjs";
export { formatOf, mainSignature, readManifest } from "./manifest/manifest.mjs";
export { compare } from "./proof/parity.mjs";
export { verify } from "./proof/proof.mjs";
export { checkRuntime } from "./session.mjs";
export { parseJson, toJson } from "./text.mjs";
export { VOCABULARY, Vocabulary, readVocabularies } from "./vocabulary.mjs";

/**
 * @typedef {import("./contents.mjs").Source} Source
 * @typedef {import("./groups.mjs").Group} Group
 * @typedef {import("./groups.mjs").Value} Value
 * @typedef {import("./ids.mjs").Id} Id
 * @typedef {import("./inputs.mjs").User} User
 * @typedef {import("./manifest/manifest.mjs").Manifest} Manifest
 * @typedef {import("./manifest/manifest.mjs").VocabularyFacts} VocabularyFacts
 * @typedef {import("./proof/proof.mjs").Report} Report
 * @typedef {import("./session.mjs").Runtime} Runtime
 * @typedef {import("./vocabulary.mjs").Vocabularies} Vocabularies
 */
