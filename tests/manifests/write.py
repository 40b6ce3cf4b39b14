"""Write the sound and spoilt manifests of this folder: `python -m tests.manifests.write`.

Each spoilt one breaks one rule of docs/reference/manifest.md, whose number begins its name. Readers in every language
judge all of them alike; with a spoilt manifest `bst verify` exits with 2, with a sound one it goes on to the files.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from tests.manifests.clicks import SOUND_CLICKS, SPOILT_CLICKS
from tests.manifests.whole import (
    SOUND,
    Change,
    Values,
    append,
    drop,
    every_input,
    forget_files,
    in_another_order,
    input_k,
    put,
    rename_a_file,
    together,
    with_every_input,
)

HERE = Path(__file__).parent


def only_onnx(manifest: Values) -> None:
    manifest["settings"]["formats"] = ["onnx"]
    manifest["formats"] = manifest["formats"][:1]
    manifest["signatures"] = manifest["signatures"][:4]


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


SOUND_ONES: dict[str, Change] = {
    "whole": lambda manifest: None,
    "only-onnx": only_onnx,
    "a-later-minor": put("schema_version", "4.17"),
    "an-unknown-field": put("stranger", {"of": "a later minor"}),
    "unknown-fields-in-values": together(
        put("model.stranger", 1),
        put("settings.stranger", None),
        put("settings.top_k.stranger", True),
        put("files.0.stranger", []),
        put("formats.0.stranger", "x"),
        put("formats.0.needs.stranger", "x"),
        put("formats.0.entries.top_k.stranger", "x"),
        put("signatures.0.inputs.0.stranger", "x"),
        put("items.stranger", 0.5),
        put("output_layer.weights.stranger", 1),
        put("tuning.options.stranger", 1),
        put("parity.0.stranger", 1),
    ),
    "an-unknown-format": together(
        put("formats.1.name", "made-up"), put("settings.formats.1", "made-up"), put("parity.0.format", "made-up")
    ),
    "an-unknown-opset": together(put("settings.opset", 99), put("settings.golden", "made-up")),
    "no-output-layer": put("output_layer", None),
    "golden-vectors-left-out": forget_files("golden/"),
    "no-shortlist": put("shortlist", None),
    "no-tuning": put("tuning", None),
    "no-parity-records": put("parity", []),
    "items-have-names": put("items.named", True),
    "no-quality": together(drop("quality"), drop("settings.golden"), put("schema_version", "4.0")),
    "quality-without-top-k": drop("quality.top_k"),
    "fields-with-a-default-left-out": together(
        drop("formats.0.needs.at_least"), drop("formats.0.needs.machine"), drop("formats.0.entries.top_k.function")
    ),
    "a-stricter-tolerance": put("tolerance", 1e-06),
    "an-output-layer-that-ends-with-its-file": put("output_layer.biases.offset", 40_000 - 4 * 40),
    "k-is-an-input": input_k(5),
    "no-history-is-that-long": put("model.max_length", 1),
    "every-input": every_input,
    "times-to-the-request": with_every_input(put("model.event_times", "to_request")),
    "no-inputs-beside-the-context": together(
        put("events", {}),
        *(put(f"model.{name}", []) for name in ("event_features", "numbers", "item_features", "item_numbers")),
        put("model.event_times", "none"),
    ),
    "a-full-mask": put("model.mask", "full"),
    "padding-that-is-counted": together(put("model.padding", "counted"), put("model.pooling", "mean")),
    **SOUND_CLICKS,
}

SPOILT_ONES: dict[str, Change | str] = {
    "1-an-array": "[]",
    "1-empty": "",
    "1-text-that-is-not-json": "manifest",
    "1-a-comma-too-many": '{"schema_version": "4.0",}',
    "1-not-a-number": '{"schema_version": "4.0", "tolerance": NaN}',
    "1-nested-too-deep": put("stranger", nested(100)),
    "2-no-version": drop("schema_version"),
    "2-a-whole-number": put("schema_version", 4),
    "2-a-number": put("schema_version", 4.0),
    "2-the-major-alone": put("schema_version", "4"),
    "2-an-earlier-major": put("schema_version", "3.9"),
    "2-a-later-major": put("schema_version", "5.0"),
    "2-a-longer-major": put("schema_version", "40.0"),
    "2-three-parts": put("schema_version", "4.0.1"),
    "2-a-leading-zero": put("schema_version", "4.00"),
    "2-whitespace": put("schema_version", " 4.0"),
    "3-no-files": drop("files"),
    "3-no-parity": drop("parity"),
    "3-no-weights": drop("weights"),
    "3-no-needs": drop("formats.0.needs"),
    "3-a-metric-is-text": put("quality.model.hr_10", "0.25"),
    "3-users-have-a-fraction": put("quality.top_k.users", 0.5),
    "3-no-baseline": drop("quality.markov"),
    "3-no-dtype": drop("signatures.0.inputs.0.dtype"),
    "3-files-is-an-object": put("files", {}),
    "3-formats-is-null": put("formats", None),
    "3-bytes-is-text": put("files.0.bytes", "40000"),
    "3-bytes-is-negative": put("files.0.bytes", -1),
    "3-bytes-has-a-fraction": put("files.0.bytes", 1.5),
    "3-bytes-is-a-truth-value": put("files.0.bytes", True),
    "3-a-path-is-a-number": put("formats.0.entries.top_k.path", 1),
    "3-a-hash-is-short": put("files.0.sha256", "ab"),
    "3-a-hash-in-capitals": put("files.0.sha256", "A" * 64),
    "3-ids-of-another-kind": put("settings.ids", "text"),
    "3-a-dtype-of-another-kind": put("signatures.0.inputs.0.dtype", "int32"),
    "3-an-axis-is-null": put("signatures.0.inputs.0.shape", ["batch", None]),
    "3-an-order-of-another-kind": put("formats.0.equal_scores", "sometimes"),
    "3-no-items-in-the-model": put("model.num_items", 0),
    "3-no-slots-in-a-history": put("model.max_length", 0),
    "3-pooling-of-another-kind": put("model.pooling", "max"),
    "3-dropout-of-one": put("model.dropout", 1.0),
    "3-norm-epsilon-of-zero": put("model.norm_epsilon", 0.0),
    "3-no-threads": put("tuning.options.threads", 0),
    "3-spinning-is-a-number": put("tuning.options.spinning", 1),
    "3-an-error-is-text": put("parity.0.max_error", "small"),
    "3-a-version-is-a-number": put("versions.torch", 2),
    "3-a-limit-of-none": put("settings.top_k.limit", 0),
    "3-events-is-a-list": put("events", []),
    "3-times-of-another-kind": put("model.event_times", "sometimes"),
    "3-an-event-feature-of-no-categories": with_every_input(put("model.event_features.1.num_categories", 0)),
    "3-a-deviation-of-zero": with_every_input(put("model.numbers.0.deviation", 0)),
    "3-a-mean-is-text": with_every_input(put("model.numbers.1.mean", "35")),
    "3-a-mean-is-a-truth-value": with_every_input(put("model.numbers.1.mean", True)),
    "3-no-mean": with_every_input(drop("model.numbers.0.mean")),
    "4-an-entry-is-not-listed": forget_files("onnx/top_k.onnx"),
    "4-the-plain-weights-are-not-listed": forget_files("model.safetensors"),
    "4-the-output-layer-is-not-listed": forget_files("onnx/weights.bin"),
    "4-golden-lies-outside": put("formats.0.golden", "golden/../../outside"),
    "4-golden-lies-elsewhere": put("formats.0.golden", "onnx"),
    "4-a-path-climbs": rename_a_file("README.md", "../README.md"),
    "4-a-path-climbs-later": rename_a_file("README.md", "onnx/../../README.md"),
    "4-a-path-is-absolute": rename_a_file("README.md", "/README.md"),
    "4-a-path-has-backslashes": rename_a_file("README.md", "..\\README.md"),
    "4-a-path-names-a-drive": rename_a_file("README.md", "C:/README.md"),
    "4-a-path-is-empty": rename_a_file("README.md", ""),
    "4-a-path-has-an-empty-part": rename_a_file("README.md", "docs//README.md"),
    "4-a-file-is-listed-twice": append("files", {"path": "README.md", "bytes": 1, "sha256": "0" * 64}),
    "4-the-manifest-lists-itself": append("files", {"path": "manifest.json", "bytes": 1, "sha256": "0" * 64}),
    "5-no-format": put("formats", []),
    "5-a-format-without-entries": put("formats.0.entries", {}),
    "5-a-format-twice": put("formats.1.name", "onnx"),
    "5-an-entry-without-a-signature": drop("signatures.5"),
    "6-a-signature-twice": put("signatures.0.name", "top_k"),
    "6-an-input-twice": put("signatures.0.inputs.2.name", "gender"),
    "6-a-name-that-no-program-can-have": put("signatures.0.inputs.1.name", "gender; drop"),
    "6-a-name-of-other-letters": put("signatures.0.inputs.1.name", "größe"),
    "6-no-inputs": put("signatures.0.inputs", []),
    "6-no-outputs": put("signatures.0.outputs", []),
    "6-a-history-of-numbers": put("signatures.0.inputs.0.dtype", "float32"),
    "6-a-history-of-one-axis": put("signatures.0.inputs.0.shape", ["batch"]),
    "6-a-history-of-three-axes": put("signatures.0.inputs.0.shape", ["batch", "length", 2]),
    "6-an-input-of-four-axes": with_every_input(put("signatures.4.inputs.1.shape", ["batch", "length", 2, 1])),
    "6-an-input-of-no-axis": put("signatures.0.inputs.2.shape", []),
    "6-an-output-of-one-axis": put("signatures.0.outputs.0.shape", ["batch"]),
    "6-an-output-of-ids-alone": put("signatures.0.outputs.0.dtype", "int64"),
    "6-an-axis-of-size-zero": put("signatures.0.outputs.0.shape", ["batch", 0]),
    "6-an-input-k-without-a-bound": input_k(None),
    "6-a-bound-without-an-input-k": put("signatures.1.max_k", 5),
    "6-a-bound-of-zero": input_k(0),
    "7-another-number-of-items": put("items.count", 41),
    "7-another-number-of-categories": put("context.region.count", 4),
    "7-a-feature-too-few": drop("context.region"),
    "7-features-in-another-order": in_another_order("context"),
    "7-an-event-feature-too-few": with_every_input(drop("events.channel")),
    "7-no-events-of-a-model-with-event-features": with_every_input(drop("events")),
    "7-events-of-a-model-without-event-features": put(
        "events", {"kind": {"dtype": "string", "count": 2, "padding": ""}}
    ),
    "7-event-features-in-another-order": with_every_input(in_another_order("events")),
    "7-another-number-of-categories-of-events": with_every_input(put("events.kind.count", 3)),
    "7-text-that-pads-an-event-feature-of-numbers": with_every_input(put("events.channel.padding", "")),
    "7-an-event-feature-named-as-one-of-the-context": with_every_input(
        put("model.event_features", [{"name": "gender", "num_categories": 2}]),
        put("events", {"gender": {"dtype": "string", "count": 2, "padding": ""}}),
    ),
    "7-a-number-named-as-a-feature": with_every_input(put("model.numbers.0.name", "gender")),
    "7-a-number-of-a-name-that-no-program-can-have": with_every_input(put("model.numbers.0.name", "age in years")),
    "7-text-that-pads-numbers": put("items.padding", ""),
    "7-a-number-that-pads-text": put("context.gender.padding", 0),
    "7-heads-that-do-not-divide-the-model": put("model.num_heads", 3),
    "7-no-head-and-no-tie": put("model.head_widths", []),
    "7-features-side-by-side": together(put("model.dim", 64), put("model.feature_dim", 8)),
    "7-places-side-by-side": put("model.place_dim", 4),
    "7-counted-padding-with-a-full-mask": together(
        put("model.padding", "counted"), put("model.pooling", "mean"), put("model.mask", "full")
    ),
    "7-counted-padding-without-the-mean": put("model.padding", "counted"),
    "7-counted-padding-with-event-times": with_every_input(
        put("model.padding", "counted"), put("model.pooling", "mean")
    ),
    "7-counted-padding-with-places-from-the-oldest": together(
        put("model.padding", "counted"), put("model.pooling", "mean"), put("model.places", "oldest")
    ),
    "8-an-output-layer-of-another-width": put("output_layer.weights.shape", [40, 25]),
    "8-an-output-layer-of-other-items": put("output_layer.biases.shape", [41]),
    "8-an-output-layer-beyond-its-file": put("output_layer.biases.offset", 40_000 - 4 * 40 + 1),
    "8-an-output-layer-before-its-file": put("output_layer.weights.offset", -4),
    "8-a-first-row-of-two": put("output_layer.first_row", 2),
    "9-a-tolerance-of-its-own": put("tolerance", 1e-04),
    "9-a-tolerance-of-zero": put("tolerance", 0),
    "9-a-negative-tolerance": put("tolerance", -1e-06),
    **SPOILT_CLICKS,
}


def text_of(change: Change | str) -> str:
    if isinstance(change, str):
        return change
    manifest = copy.deepcopy(SOUND)
    change(manifest)
    return json.dumps(manifest, ensure_ascii=False) + "\n"


def written() -> dict[str, str]:
    """The content of each file by its path in this folder."""
    kinds = (("sound", SOUND_ONES), ("spoilt", SPOILT_ONES))
    return {f"{kind}/{name}.json": text_of(change) for kind, ones in kinds for name, change in ones.items()}


if __name__ == "__main__":
    for path, text in written().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_text(text, encoding="utf-8")
