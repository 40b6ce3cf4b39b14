"""The cost of a ranker of torch-rechub: the library's own class, in PyTorch and exported, and a bundle, in turns.

    python -m bench.studies.imported_cost DIR BUNDLE [--candidates 500] [--rounds 12]

DIR is the folder that `bst import torch-rechub` read, and the package torch-rechub is installed. One user with a full
history, one thread. The library takes a row for each candidate, with the history in each. The largest difference of the
probabilities from the library's is the error.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from bst.system.files import temporary_folder
from bst.system.plain_tensors import read_plain_tensors
from export import open_bundle

SIGNATURE = "score_candidates"
Rows = dict[str, NDArray[Any]]


def library_model(folder: Path, description: dict[str, Any]) -> torch.nn.Module:
    """Build the library's class with the weights of a folder."""
    features, ranking = import_module("torch_rechub.basic.features"), import_module("torch_rechub.models.ranking")
    state = read_plain_tensors(folder / "model.pth")
    tables = {name.split(".")[2]: tensor for name, tensor in state.items() if name.startswith("embedding.embed_dict.")}

    def sizes(name: str) -> dict[str, int]:
        return {"vocab_size": tables[name].size(0), "embed_dim": tables[name].size(1)}

    history = [
        features.SequenceFeature(name, **sizes(shared or name), pooling="concat", shared_with=shared)
        for name, shared in description["history"]
    ]
    beside = [features.SparseFeature(name, **sizes(name)) for name in description["context"]]
    beside += [features.DenseFeature(name) for name in description["dense"]]
    widths = [tensor.size(0) for name, tensor in state.items() if name.startswith("mlp.") and tensor.dim() == 2]
    blocks = {name.split(".")[2] for name in state if name.startswith("transformer_layers.layers.")}
    model: torch.nn.Module = ranking.BST(
        features=beside,
        history_features=history,
        target_features=[features.SparseFeature(name, **sizes(name)) for name in description["target"]],
        mlp_params={"dims": widths[:-1], "activation": description["mlp_activation"]},
        nhead=description["num_heads"],
        num_layers=len(blocks),
        max_seq_len=state["pos_embedding.weight"].size(0),
    )
    model.load_state_dict(state)
    return model.eval()


def request(folder: Path, description: dict[str, Any], count: int) -> tuple[Rows, Rows]:
    """Draw a user with a full history and `count` candidates: rows of the library, and raw ids by name."""
    rng, length = np.random.default_rng(0), description["length"]
    owners = {name: name for name in (*description["target"], *description["context"])}
    owners |= {name: shared or name for name, shared in description["history"]}
    listed = {name: json.loads((folder / path).read_text()) for name, path in description["vocabularies"].items()}
    properties = json.loads((folder / "item_features.json").read_text())
    (item_history,) = [name for name, shared in description["history"] if shared == description["item_id"]]
    rows: Rows = {}
    for name, shape in ((item_history, length), (description["item_id"], count)):
        rows[name] = rng.integers(1, len(listed[owners[name]]) + 1, shape)
    for name, owner in owners.items():
        if owner in properties:
            places = {value: place + 1 for place, value in enumerate(listed[owner])}
            of_items = np.array([0, *(places[value] for value in properties[owner])])
            rows[name] = of_items[rows[description["item_id"] if name == owner else item_history]]
        elif name not in rows:
            shape = count if name in description["target"] else 1 if name in description["context"] else length
            rows[name] = rng.integers(1, len(listed[owner]) + 1, shape)
    raw = {name: np.array(listed[owners[name]])[values - 1] for name, values in rows.items()}
    numbers = {name: rng.normal(size=1).astype(np.float32) for name in description["dense"]}
    for name, _ in description["history"]:
        rows[name] = np.tile(rows[name], (count, 1))
    for name in description["context"]:
        rows[name] = np.repeat(rows[name], count)
    wide = {name: np.repeat(values, count)[:, None] for name, values in numbers.items()}
    return {**rows, **wide}, {**raw, **numbers, "history": raw[item_history], "candidates": raw[description["item_id"]]}


@torch.inference_mode()
def main() -> None:
    """Call the contestants in turns, and print a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    description = json.loads((arguments.folder / "description.json").read_text())
    rows, raw = request(arguments.folder, description, arguments.candidates)
    model, tensors = library_model(arguments.folder, description), {k: torch.from_numpy(v) for k, v in rows.items()}
    session = open_bundle(arguments.bundle).session("onnxruntime", SIGNATURE, threads=1)
    shapes = {spec.name: (1,) if spec.shape == ("batch",) else (1, -1) for spec in session.signature.inputs}
    inputs = session.prepare({name: raw[name].reshape(shape) for name, shape in shapes.items()})
    with temporary_folder() as place:
        export = import_module("torch_rechub.utils.onnx_export").ONNXExporter(model)
        export.export(str(place / "model.onnx"), dynamic_batch=True)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        theirs = onnxruntime.InferenceSession(str(place / "model.onnx"), options, providers=["CPUExecutionProvider"])
        fed = {node.name: rows[node.name] for node in theirs.get_inputs()}
        calls: dict[str, tuple[Callable[[], Any], int]] = {
            "bundle in ONNX Runtime": (lambda: session.run(inputs), 10),
            "torch-rechub": (lambda: model(tensors), 1),
            "torch-rechub's ONNX": (lambda: theirs.run(None, fed), 1),
        }
        expected = model(tensors).numpy()
        answers = {
            "bundle in ONNX Runtime": session.finish(session.run(inputs))["probabilities"][0],
            "torch-rechub": expected,
            "torch-rechub's ONNX": np.asarray(theirs.run(None, fed)[0]).reshape(-1),
        }
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(arguments.rounds):
            for name, (call, times) in calls.items():
                for _ in range(times):
                    start = time.perf_counter()
                    call()
                    seconds[name].append(time.perf_counter() - start)
    first = statistics.median(next(iter(seconds.values())))
    for name, values in seconds.items():
        median, error = statistics.median(values), np.abs(answers[name] - expected).max()
        print(
            f"{name:<24} median {1e3 * median:9.2f} ms  least {1e3 * min(values):9.2f} ms  {median / first:6.1f}  "
            f"error {error:.0e}"
        )


if __name__ == "__main__":
    main()
