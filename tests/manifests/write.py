"""Write the sound and spoilt manifests of this folder: `python -m tests.manifests.write`.

Each spoilt one breaks one rule of docs/reference/manifest.md, whose number begins its name. Readers in every language
judge all of them alike; with a spoilt manifest `bst verify` exits with 2, with a sound one it goes on to the files.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Values = dict[str, Any]
Change = Callable[[Values], object]

USER = [
    {"name": "history", "dtype": "int64", "shape": ["batch", "length"]},
    {"name": "gender", "dtype": "string", "shape": ["batch"]},
    {"name": "region", "dtype": "int64", "shape": ["batch"]},
]
BY_INDEX = [
    {"name": "items", "dtype": "int64", "shape": ["batch", "length"]},
    {"name": "context", "dtype": "int64", "shape": ["batch", 2]},
]
NAMES = ("all_scores", "top_k", "score_candidates", "encode_user")


def signatures(ids: str) -> list[Values]:
    user, found = (USER, "item_ids") if ids == "raw" else (BY_INDEX, "item_indices")
    candidates = {"name": "candidates", "dtype": "int64", "shape": ["batch", "n"]}

    def numbers(name: str, axis: int | str) -> Values:
        return {"name": name, "dtype": "float32", "shape": ["batch", axis]}

    outputs = {
        "all_scores": [numbers("scores", 40)],
        "top_k": [{"name": found, "dtype": "int64", "shape": ["batch", 5]}, numbers("scores", 5)],
        "score_candidates": [numbers("scores", "n")],
        "encode_user": [numbers("user_vector", 24)],
    }
    return [
        {
            "name": name,
            "ids": ids,
            "inputs": [*user, *([candidates] if name == "score_candidates" else [])],
            "outputs": outputs[name],
            "max_k": None,
        }
        for name in NAMES
    ]


def files(*paths: str) -> list[Values]:
    return [{"path": path, "bytes": 40_000, "sha256": f"{place:064x}"} for place, path in enumerate(sorted(paths))]


def needs(**others: Any) -> Values:
    made = {"versions": {}, "made_with": {"torch": "2.13.0", "python": "3.11.7"}}
    return {**made, "at_least": {}, "machine": None, "cpu_flags": [], "remarks": [], **others}


SOUND: Values = {
    "schema_version": "4.2",
    "settings": {
        "formats": ["onnx", "torchscript", "pt2"],
        "signatures": list(NAMES),
        "ids": "raw",
        "top_k": {"limit": 5, "k_is_input": False, "exclude_history": False},
        "opset": 21,
        "shortlist": True,
        "tune": False,
        "cpu": "avx2",
        "single_file": False,
        "golden": "small",
    },
    "signatures": [*signatures("raw"), *signatures("index")],
    "formats": [
        {
            "name": "onnx",
            "ids": "raw",
            "entries": {name: {"path": f"onnx/{name}.onnx", "function": None} for name in NAMES},
            "golden": "golden",
            "equal_scores": "lower index first",
            "needs": needs(versions={"ai.onnx": "21"}, at_least={"onnxruntime": "1.19.0"}),
        },
        {
            "name": "torchscript",
            "ids": "raw",
            "entries": {name: {"path": "torchscript/model.pt", "function": name} for name in NAMES},
            "golden": "golden",
            "equal_scores": "any order",
            "needs": needs(remarks=["deprecated"]),
        },
        {
            "name": "pt2",
            "ids": "index",
            "entries": {name: {"path": "pt2/model.pt2", "function": name} for name in NAMES},
            "golden": "golden/index",
            "equal_scores": "any order",
            "needs": needs(),
        },
    ],
    "files": files(
        "README.md",
        "model.safetensors",
        "vocabulary.json",
        "onnx/weights.bin",
        "torchscript/model.pt",
        "pt2/model.pt2",
        *(f"onnx/{name}.onnx" for name in NAMES),
        *(f"golden/{name}.json" for name in NAMES),
        *(f"golden/index/{name}.json" for name in NAMES),
    ),
    "model": {
        "dim": 16,
        "num_heads": 2,
        "num_blocks": 1,
        "ff_width": 32,
        "max_length": 12,
        "head_widths": [24],
        "context_dim": 4,
        "pooling": "last",
        "padding": "ignored",
        "tied_output": False,
        "dropout": 0.3,
        "init_method": "xavier",
        "num_items": 40,
        "context": [
            {"name": "gender", "num_categories": 2, "dim": 4},
            {"name": "region", "num_categories": 3, "dim": 4},
        ],
    },
    "items": {"dtype": "int64", "count": 40, "padding": 0},
    "context": {
        "gender": {"dtype": "string", "count": 2, "padding": ""},
        "region": {"dtype": "int64", "count": 3, "padding": 0},
    },
    "weights": "model.safetensors",
    "output_layer": {
        "weights": {"path": "onnx/weights.bin", "offset": 8192, "shape": [40, 24]},
        "biases": {"path": "onnx/weights.bin", "offset": 28672, "shape": [40]},
        "first_row": 0,
    },
    "shortlist": {"few_rows": 8, "few": {"coordinates": 8, "first": 64}, "many": None},
    "tuning": {
        "cpu": "a CPU",
        "cores": 2,
        "options": {"threads": 1, "spinning": True, "arena": True, "prepacking": True},
        "rows": [
            {
                "options": {"threads": None, "spinning": True, "arena": True, "prepacking": True},
                "batch_size": 1,
                "p50_us": 120.5,
                "rounds": 3,
            }
        ],
        "rates": None,
    },
    "tolerance": 1e-05,
    "parity": [
        {
            "format": "onnx",
            "signature": "top_k",
            "cases": 28,
            "rows": 300,
            "max_error": 3e-07,
            "error_to_float64": 3e-07,
            "eager_error_to_float64": 3e-07,
            "swaps": 0,
            "alone": 0.0,
            "more_padding": None,
            "permuted": None,
        }
    ],
    "quality": {
        "model": {"hr_10": 0.25, "num_users": 60},
        "popularity": {"hr_10": 0.2, "num_users": 60},
        "markov": {"hr_10": 0.125, "num_users": 60},
        "unseen": 0.0,
        "filter_seen": True,
        "rule": "the last event of each user",
        "top_k": {"k": 5, "users": 60, "hr": 0.25, "ndcg": 0.1},
    },
    "run_sha256": "f" * 64,
    "versions": {"bst": "0.1.0", "torch": "2.13.0"},
}


def put(path: str, value: Any) -> Change:
    """Set the field at `path`, such as `files.0.bytes`."""

    def change(manifest: Values) -> None:
        *parents, last = path.split(".")
        place: Any = manifest
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        place[int(last) if isinstance(place, list) else last] = value

    return change


def drop(path: str) -> Change:
    """Remove the field or the entry at `path`."""

    def change(manifest: Values) -> None:
        *parents, last = path.split(".")
        place: Any = manifest
        for part in parents:
            place = place[int(part) if isinstance(place, list) else part]
        del place[int(last) if isinstance(place, list) else last]

    return change


def append(path: str, value: Any) -> Change:
    """Add to the end of the list at `path`."""

    def change(manifest: Values) -> None:
        place: Any = manifest
        for part in path.split("."):
            place = place[int(part) if isinstance(place, list) else part]
        place.append(value)

    return change


def together(*changes: Change) -> Change:
    def change(manifest: Values) -> None:
        for one in changes:
            one(manifest)

    return change


def rename_a_file(old: str, new: str) -> Change:
    def change(manifest: Values) -> None:
        (record,) = (one for one in manifest["files"] if one["path"] == old)
        record["path"] = new

    return change


def forget_files(start: str) -> Change:
    def change(manifest: Values) -> None:
        manifest["files"] = [one for one in manifest["files"] if not one["path"].startswith(start)]

    return change


def input_k(max_k: int | None) -> Change:
    """Let the caller of `top_k` say k; it is the second signature."""
    asked = {"name": "k", "dtype": "int64", "shape": [1]}
    return together(append("signatures.1.inputs", asked), put("signatures.1.max_k", max_k))


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
    "6-an-input-of-numbers": put("signatures.0.inputs.2.dtype", "float32"),
    "6-an-input-of-three-axes": put("signatures.0.inputs.0.shape", ["batch", "length", 2]),
    "6-an-output-of-one-axis": put("signatures.0.outputs.0.shape", ["batch"]),
    "6-an-output-of-ids-alone": put("signatures.0.outputs.0.dtype", "int64"),
    "6-an-axis-of-size-zero": put("signatures.0.outputs.0.shape", ["batch", 0]),
    "6-an-input-k-without-a-bound": input_k(None),
    "6-a-bound-without-an-input-k": put("signatures.1.max_k", 5),
    "6-a-bound-of-zero": input_k(0),
    "7-another-number-of-items": put("items.count", 41),
    "7-another-number-of-categories": put("context.region.count", 4),
    "7-a-feature-too-few": drop("context.region"),
    "7-features-in-another-order": lambda manifest: manifest.update(
        context=dict(reversed(list(manifest["context"].items())))
    ),
    "7-text-that-pads-numbers": put("items.padding", ""),
    "7-a-number-that-pads-text": put("context.gender.padding", 0),
    "7-heads-that-do-not-divide-the-model": put("model.num_heads", 3),
    "7-no-head-and-no-tie": put("model.head_widths", []),
    "8-an-output-layer-of-another-width": put("output_layer.weights.shape", [40, 25]),
    "8-an-output-layer-of-other-items": put("output_layer.biases.shape", [41]),
    "8-an-output-layer-beyond-its-file": put("output_layer.biases.offset", 40_000 - 4 * 40 + 1),
    "8-an-output-layer-before-its-file": put("output_layer.weights.offset", -4),
    "8-a-first-row-of-two": put("output_layer.first_row", 2),
    "9-a-tolerance-of-its-own": put("tolerance", 1e-04),
    "9-a-tolerance-of-zero": put("tolerance", 0),
    "9-a-negative-tolerance": put("tolerance", -1e-06),
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
