"""A whole manifest, and changes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def every_input(manifest: Values) -> None:
    """Give the model event features, times and numbers, and the signatures their inputs, in the order of the page."""
    features = [{"name": "kind", "num_categories": 2}, {"name": "channel", "num_categories": 3}]
    numbers = [{"name": "age", "mean": 35, "deviation": 12.5}, {"name": "basket", "mean": -0.5, "deviation": 2e-05}]
    manifest["schema_version"] = "4.4"
    manifest["model"] |= {"event_features": features, "event_times": "to_next", "numbers": numbers}
    manifest["model"] |= {"item_features": [], "item_numbers": []}
    manifest["events"] = {
        "kind": {"dtype": "string", "count": 2, "padding": ""},
        "channel": {"dtype": "int64", "count": 3, "padding": 0},
    }
    event, request = ["batch", "length"], ["batch"]
    times = [
        {"name": "event_time", "dtype": "int64", "shape": event},
        {"name": "request_time", "dtype": "int64", "shape": request},
    ]
    before = {
        "raw": [{"name": name, "dtype": facts["dtype"], "shape": event} for name, facts in manifest["events"].items()],
        "index": [{"name": "events", "dtype": "int64", "shape": [*event, 2]}],
    }
    after = {
        "raw": [{"name": number["name"], "dtype": "float32", "shape": request} for number in numbers],
        "index": [{"name": "numbers", "dtype": "float32", "shape": [*request, 2]}],
    }
    for signature in manifest["signatures"]:
        history, *others = signature["inputs"]
        place = len(USER if signature["ids"] == "raw" else BY_INDEX) - 1
        context, rest, ids = others[:place], others[place:], signature["ids"]
        signature["inputs"] = [history, *before[ids], *times, *context, *after[ids], *rest]


def with_every_input(*changes: Change) -> Change:
    return together(every_input, *changes)


def in_another_order(name: str) -> Change:
    """Turn the order of the fields of an object round."""
    return lambda manifest: manifest.update({name: dict(reversed(list(manifest[name].items())))})
