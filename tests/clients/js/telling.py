"""A bundle, made without training, whose scores are its inputs: a test sees what a client sends."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from tests.manifests.write import SOUND

KIND, REGION, ITEMS = ["buy", "view"], [3, 5, 9], list(range(11, 51))
VOCABULARIES = {
    "items": {"dtype": "int64", "padding": 0, "ids": ITEMS},
    "context": {"region": {"dtype": "int64", "padding": 0, "ids": REGION}},
    "events": {
        "kind": {"dtype": "string", "padding": "", "ids": KIND},
        "device": {"dtype": "int64", "padding": -1, "ids": [0, 7]},
    },
}
EVENT, REQUEST = ["batch", "length"], ["batch"]
RAW = [
    *(
        ("history", "int64", EVENT),
        ("kind", "string", EVENT),
        ("device", "int64", EVENT),
        ("event_time", "int64", EVENT),
    ),
    *(("request_time", "int64", REQUEST), ("region", "int64", REQUEST)),
    *(("age", "float32", REQUEST), ("basket", "float32", REQUEST)),
]
INDEX = [
    *(("items", "int64", EVENT), ("events", "int64", [*EVENT, 2]), ("event_time", "int64", EVENT)),
    *(("request_time", "int64", REQUEST), ("context", "int64", [*REQUEST, 1]), ("numbers", "float32", [*REQUEST, 2])),
]
# Of the newest event and its request: index of the kind, device, seconds between, region, and age, -1 where unknown.
NUM_SCORES = 5
ASKED = {"history": [11, 13], "kind": ["view", "buy"], "device": [7, 0], "event_time": [1_700_000_000, 1_700_000_100]}
TOLD = [1.0, 0.0, 20.0, 5.0, 41.5]


def facts(vocabularies: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"dtype": one["dtype"], "count": len(one["ids"]), "padding": one["padding"]}
        for name, one in vocabularies.items()
    }


def manifest(ids: str = "raw") -> dict[str, Any]:
    """A manifest of a model with inputs of each kind; one signature, `top_k`."""
    values = copy.deepcopy(SOUND)
    inputs = [{"name": name, "dtype": dtype, "shape": shape} for name, dtype, shape in (RAW if ids == "raw" else INDEX)]
    outputs = [
        {"name": "item_ids" if ids == "raw" else "item_indices", "dtype": "int64", "shape": ["batch", NUM_SCORES]},
        {"name": "scores", "dtype": "float32", "shape": ["batch", NUM_SCORES]},
    ]
    values["signatures"] = [{"name": "top_k", "ids": ids, "inputs": inputs, "outputs": outputs, "max_k": None}]
    values["formats"] = [values["formats"][0] | {"ids": ids, "entries": {"top_k": {"path": "onnx/top_k.onnx"}}}]
    values["settings"] |= {"formats": ["onnx"], "signatures": ["top_k"], "ids": ids}
    values["model"] |= {
        "context": [{"name": "region", "num_categories": len(REGION), "dim": 4}],
        "event_features": [{"name": "kind", "num_categories": 2}, {"name": "device", "num_categories": 2}],
        "event_times": "to_next",
        "numbers": [{"name": name, "mean": 1.0, "deviation": 2.0} for name in ("age", "basket")],
    }
    values |= {"schema_version": "4.4", "output_layer": None, "parity": []}
    values |= {"context": facts(VOCABULARIES["context"]), "events": facts(VOCABULARIES["events"])}
    return values


def graph() -> onnx.ModelProto:
    node, tensor = helper.make_node, helper.make_tensor

    def value(name: str, dtype: str, shape: list[Any]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, getattr(TensorProto, dtype.upper()), shape)

    newest = [node("Gather", [name, "last"], [f"{name}_last"], axis=1) for name in ASKED]
    columns = {"kind": "kind_code", "device": "device_last", "gap": "gap", "region": "region", "age": "age_or_less"}
    numbers = [node("Cast", [source], [f"{name}_number"], to=TensorProto.FLOAT) for name, source in columns.items()]
    parts = [node("Unsqueeze", [f"{name}_number", "one"], [f"{name}_column"]) for name in columns]
    codes = {"domain": "ai.onnx.ml", "keys_strings": KIND, "values_int64s": [1, 2], "default_int64": 0}
    nodes = [
        *newest,
        node("LabelEncoder", ["kind_last"], ["kind_code"], **codes),
        node("Sub", ["request_time", "event_time_last"], ["gap"]),
        node("IsInf", ["age"], ["is_infinite"]),
        node("IsNaN", ["age"], ["is_missing"]),
        node("Or", ["is_infinite", "is_missing"], ["is_unknown"]),
        node("Where", ["is_unknown", "less", "age"], ["age_or_less"]),
        *numbers,
        *parts,
        node("Concat", [f"{name}_column" for name in columns], ["scores"], axis=1),
        node("Unsqueeze", ["history_last", "one"], ["item"]),
        node("Sub", ["item", "item"], ["zero"]),
        node("Add", ["zero", "best"], ["item_ids"]),
    ]
    constants = [
        tensor("last", TensorProto.INT64, [], [-1]),
        tensor("one", TensorProto.INT64, [1], [1]),
        tensor("less", TensorProto.FLOAT, [], [-1.0]),
        tensor("best", TensorProto.INT64, [1, NUM_SCORES], ITEMS[:NUM_SCORES]),
    ]
    outputs = [value("item_ids", "int64", ["batch", NUM_SCORES]), value("scores", "float", ["batch", NUM_SCORES])]
    inputs = [value(name, dtype.replace("float32", "float"), shape) for name, dtype, shape in RAW]
    body = helper.make_graph(nodes, "telling", inputs, outputs, constants)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(body, opset_imports=opsets, ir_version=9)


def golden() -> dict[str, Any]:
    """Recorded calls with numbers that JSON lacks."""
    rows = {"request_time": [1_700_000_120], "region": [5], "age": [41.5], "basket": ["NaN"]}
    outputs = {"item_ids": [ITEMS[:NUM_SCORES]], "scores": [TOLD]}
    full = {"name": "full", "inputs": {name: [row] for name, row in ASKED.items()} | rows, "outputs": outputs}
    cases = [full]
    for name in ("NaN", "Infinity", "-Infinity"):
        case = copy.deepcopy(full) | {"name": name}
        case["inputs"] |= {"age": [name], "kind": [["", "no-such-kind"]]}
        case["outputs"]["scores"] = [[0.0, *TOLD[1:-1], -1.0]]
        cases.append(case)
    return {"cases": cases}


def write_bundle(folder: Path) -> Path:
    """Write a bundle of raw ids, with the format `onnx` alone."""
    contents = {
        "onnx/top_k.onnx": graph().SerializeToString(),
        "vocabulary.json": json.dumps(VOCABULARIES).encode(),
        "golden/top_k.json": json.dumps(golden()).encode(),
        "model.safetensors": b"",
    }
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    files = [
        {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in contents.items()
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest() | {"files": files}))
    return folder
