"""Manifests of click models, sound and spoilt."""

from __future__ import annotations

import copy
from typing import Any

from tests.manifests.whole import Change, Values, drop, put, together

NUMBERS: Values = {
    "auc": 0.75,
    "grouped_auc": 0.7,
    "log_loss": 0.5,
    "calibration": [[0.25, 0.3, 10], [0.75, 1, 12]],
    "num_users": 60,
    "num_candidates": 120,
}


def clicks(manifest: Values) -> None:
    """Make it one of a click model, which has one signature, and no output layer."""

    def output(name: str) -> Values:
        return {"name": name, "dtype": "float32", "shape": ["batch", "n"]}

    name = "score_candidates"
    manifest["schema_version"] = "4.5"
    manifest["settings"]["signatures"] = [name]
    manifest["signatures"] = [one for one in manifest["signatures"] if one["name"] == name]
    for signature in manifest["signatures"]:
        signature["outputs"] = [output("probabilities"), output("scores")]
    for record in manifest["formats"]:
        record["entries"] = {name: record["entries"][name]}
    manifest["model"] |= {"task": "click", "pooling": "target"}
    manifest |= {"output_layer": None, "shortlist": None, "quality": None, "parity": []}
    counted = {**NUMBERS, "log_loss": None, "calibration": []}
    manifest["click_quality"] = {
        **{"model": copy.deepcopy(NUMBERS), "popularity": {**counted}, "markov": {**counted}},
        **{"base_rate_log_loss": 0.693, "unseen": 0.0, "negatives": "1 drawn uniformly", "unknown": 0},
        "rule": "the last event of each user",
    }
    manifest["history"] = {"once": True, "reason": "the mask is causal"}


def imported(manifest: Values) -> None:
    """Give it all that models of other libraries have."""
    manifest["schema_version"] = "4.6"
    facts = {"dtype": "string", "count": 2, "padding": "", "named": False}
    names = [{"name": name, "num_categories": 2} for name in ("kind", "seen_as")]
    manifest["model"] |= {"event_features": names[:1], "candidate_features": names[1:], "head_activations": ["dice"]}
    manifest["model"] |= {"candidate_vectors": "own", "unknown_items": "row", "longer_histories": "oldest"}
    manifest |= {"events": {"kind": {**facts}}, "candidate_features": {"seen_as": {**facts}}}


def sequences(manifest: Values) -> None:
    """Give it two sequences besides the history."""
    manifest["schema_version"] = "4.7"
    own = {"ff_width": 8, "max_length": 3, "places": "oldest", "longer_histories": "oldest"}
    manifest["model"]["sequences"] = [
        {"name": name, "dim": 2 * manifest["model"]["num_heads"], "candidate_vectors": "shared", **own}
        for name in ("skipped", "bought")
    ]
    for signature in manifest["signatures"]:
        first, *others = signature["inputs"]
        both = [{**first, "name": name, "shape": ["batch", f"{name}_length"]} for name in ("skipped", "bought")]
        signature["inputs"] = [first, *both, *others]


def of_clicks(*changes: Change) -> Change:
    return together(clicks, *changes)


def outputs(*names: str, dtype: str = "float32") -> Change:
    """Give the first signature outputs of these names; all but the last one of `dtype`."""
    last = len(names) - 1
    specs: list[Any] = [
        {"name": name, "dtype": dtype if place < last else "float32", "shape": ["batch", "n"]}
        for place, name in enumerate(names)
    ]
    return put("signatures.0.outputs", specs)


SOUND_CLICKS: dict[str, Change] = {
    "clicks": clicks,
    "clicks-by-the-mean": of_clicks(put("model.pooling", "mean")),
    "clicks-by-the-sum-of-a-full-mask": of_clicks(put("model.pooling", "sum"), put("model.mask", "full")),
    "clicks-without-a-layer-in-the-head": of_clicks(put("model.head_widths", [])),
    "clicks-with-the-defaults-of-their-task": of_clicks(drop("model.pooling"), drop("model.tied_output")),
    "clicks-without-quality": of_clicks(put("click_quality", None), drop("history")),
    "clicks-of-another-library": of_clicks(imported),
    "clicks-of-three-sequences": of_clicks(imported, sequences),
    "clicks-with-an-activation-a-layer": of_clicks(
        put("model.head_widths", [8, 4]), put("model.head_activations", ["prelu", "dice"])
    ),
    "next-items-that-say-so": put("model.task", "next_item"),
}

SPOILT_CLICKS: dict[str, Change] = {
    "3-a-task-of-another-kind": put("model.task", "clicks"),
    "3-calibration-in-pairs": of_clicks(put("click_quality.model.calibration.0", [0.25, 0.3])),
    "3-calibration-of-four": of_clicks(put("click_quality.model.calibration.0", [0.25, 0.3, 10, 1])),
    "3-a-bucket-counts-a-fraction": of_clicks(put("click_quality.model.calibration.0", [0.25, 0.3, 1.5])),
    "3-no-grouped-auc": of_clicks(drop("click_quality.markov.grouped_auc")),
    "3-a-history-without-a-reason": of_clicks(drop("history.reason")),
    "6-probabilities-of-another-name": of_clicks(outputs("chances", "scores")),
    "6-probabilities-that-are-ids": of_clicks(outputs("probabilities", "scores", dtype="int64")),
    "6-probabilities-behind-the-scores": of_clicks(outputs("scores", "probabilities")),
    "6-probabilities-before-ids": of_clicks(outputs("probabilities", "item_ids", "scores")),
    "7-clicks-by-the-last-event": of_clicks(put("model.pooling", "last")),
    "7-clicks-with-a-tied-output": of_clicks(put("model.tied_output", True)),
    "7-clicks-with-counted-padding": of_clicks(put("model.padding", "counted"), put("model.pooling", "mean")),
    "7-next-items-by-the-target": put("model.pooling", "target"),
    "7-next-items-by-the-target-that-say-so": together(put("model.task", "next_item"), put("model.pooling", "target")),
    "7-a-candidate-feature-without-an-event-feature": of_clicks(
        imported, put("model.event_features", []), put("events", {})
    ),
    "7-a-vocabulary-without-a-candidate-feature": of_clicks(imported, put("model.candidate_features", [])),
    "7-a-candidate-feature-of-another-count": of_clicks(imported, put("candidate_features.seen_as.count", 9)),
    "7-candidate-features-of-next-items": imported,
    "7-vectors-of-candidates-of-next-items": put("model.candidate_vectors", "own"),
    "7-the-oldest-events-of-next-items": put("model.longer_histories", "oldest"),
    "7-two-activations-for-one-layer": of_clicks(put("model.head_activations", ["relu", "relu"])),
    "7-sequences-of-next-items": sequences,
    "7-a-sequence-twice": of_clicks(sequences, put("model.sequences.1.name", "skipped")),
    "7-a-sequence-named-as-a-feature": of_clicks(imported, sequences, put("model.sequences.0.name", "kind")),
    "7-a-sequence-of-a-name-that-no-program-can-have": of_clicks(sequences, put("model.sequences.0.name", "a b")),
    "7-a-sequence-that-the-heads-do-not-divide": of_clicks(sequences, put("model.sequences.0.dim", 3)),
    "7-sequences-beside-item-features": of_clicks(
        sequences, put("model.item_features", [{"name": "brand", "num_categories": 3}])
    ),
    "3-a-sequence-without-a-length": of_clicks(sequences, drop("model.sequences.0.max_length")),
    "3-a-sequence-of-no-places-by-that-name": of_clicks(sequences, put("model.sequences.0.places", "any")),
    "7-unknown-items-beside-item-features": of_clicks(
        put("model.unknown_items", "row"), put("model.item_features", [{"name": "brand", "num_categories": 3}])
    ),
    "3-an-activation-of-no-name": of_clicks(put("model.head_activations", ["swish"])),
    "3-unknown-items-of-another-kind": of_clicks(put("model.unknown_items", "rows")),
    "3-a-number-without-a-bound-above-0": of_clicks(
        put("model.numbers", [{"name": "n", "mean": 0, "deviation": 1, "bound": 0}])
    ),
    "8-an-output-layer-of-clicks": together(put("model.task", "click"), put("model.pooling", "target")),
}
