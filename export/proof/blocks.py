"""The blocks of the model inside each format, by name: to say where two formats part, not only that they do.

Blocks are `embedding`, `positions` (the embedded items with their places), `cell 1` and so on, `pooling` (with the
context beside it) and `head`. In what torch exports they are found by the modules that the nodes came from; ONNX files
keep them as the names of values (`blocks/cell 1`), TorchScript and eager models are asked method by method. Where the
encoder is packed (`export.serving.encoder`), blocks are rows of its table, and a last cell for the newest state alone
belongs to `pooling`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from bst.run.folder import Run
from export.contract.manifest import FormatRecord
from export.contract.parity import TOLERANCE
from export.contract.signatures import Signature, TopK
from export.formats.torchscript import load_torchscript
from export.proof.golden import Case
from export.serving.scorer import Scorer

Array = NDArray[Any]
Blocks = dict[str, Array]
PREFIX = "blocks/"


def first_difference(expected: Blocks, actual: Blocks, real: Array) -> str:
    """Name the first block whose values differ by more than the tolerance, with its error and that of the one before.

    `real`, bool `[batch, length]`, tells which slots count; blocks of `actual` may be padded on the left to more, or
    packed.
    """
    before = "the inputs"
    for name, want in expected.items():
        if name not in actual:  # a last cell that belongs to the pooling
            continue
        got = actual[name]
        if want.ndim == 3:
            padded = got.shape[1] - want.shape[1]
            want, got = want[real], got[:, padded:][real] if got.ndim == 3 else got[1:]
        scale = max(float(np.abs(want).max(initial=0)), float(np.finfo(np.float32).tiny))
        error = float(np.abs(got.astype(np.float64) - want).max(initial=0)) / scale
        if not error <= TOLERANCE:
            return f"they part at the block {name!r}, off by {error:.1e} of its largest value; {before} agree"
        before = f"all up to {name!r} (off by {error:.1e})"
    return f"all blocks agree up to {name!r} (off by {error:.1e}): they part at the output layer or the ids"


def where_they_part(bundle: Path, record: FormatRecord, signature: Signature, case: Case, run: Run) -> str:
    """Compare eager and a format of `bundle` block by block on `case`."""
    if record.name == "aotinductor":
        return "machine code cannot be looked into: export pt2 beside it, which is the program that it was made from"
    scorer = Scorer(run.model, run.config.model, TopK())
    items = scorer.newest(scorer.guard_items(torch.from_numpy(case.items)))
    context = scorer.guard_context(torch.from_numpy(case.context))
    expected = blocks_of_model(run.model, items, context)
    entry, inputs = record.entries[signature.name], case.inputs(signature, run.vocabularies)
    path = bundle / entry.path
    if record.name == "onnx":
        actual = blocks_of_onnx(path, inputs)
    elif record.name == "torchscript":
        actual = blocks_of_model(load_torchscript(path).scorer.model, items, context)
    else:
        from export.formats import pt2  # a second, for torch's compiler comes with it

        program = pt2.load_pt2(path, signature.name)
        actual = blocks_of_program(program, [torch.from_numpy(one) for one in inputs.values()])
    return first_difference(expected, actual, (items > 0).numpy())


def blocks_of_model(model: Any, items: Tensor, context: Tensor) -> Blocks:
    """Walk through a `BST`, eager or scripted, block by block; inputs in range, as its `user_vectors` takes them."""
    found: Blocks = {}
    with torch.inference_mode():
        real = items > 0
        places = model._places(real)
        found["embedding"] = model.item_embedding(items).numpy()
        states = model._embed(items, places)
        found["positions"] = states.numpy()
        hidden = model._hidden(real, states)
        for number, cell in enumerate(model.cells.children(), start=1):
            states = cell(states, hidden)
            found[f"cell {number}"] = states.numpy()
        pooled = model._with_context(model._pool(states, real, places), context)
        found["pooling"] = pooled.numpy()
        found["head"] = model.head(pooled).numpy()
    return found


def blocks_of_program(program: torch.export.ExportedProgram, inputs: Sequence[Tensor]) -> Blocks:
    """Run an exported program node by node and keep what the blocks gave."""
    module = program.module()
    scopes = [
        (node, [path for path, _ in node.meta.get("nn_module_stack", {}).values()]) for node in module.graph.nodes
    ]
    wanted = {node: name for name, node in _boundaries(scopes, lambda node: node, lambda node: node.args[0])}
    found: dict[str, Array] = {}

    class Watcher(torch.fx.Interpreter):
        def run_node(self, node: torch.fx.Node) -> Any:
            value = super().run_node(node)
            if node in wanted:
                found[wanted[node]] = value.detach().numpy()
            return value

    with torch.inference_mode():
        Watcher(module).run(*inputs)
    return {name: found[name] for name in wanted.values()}


def blocks_of_onnx(path: Path, inputs: Mapping[str, Array]) -> Blocks:
    """Run an ONNX file that `mark_blocks` has seen, with its blocks as outputs."""
    graph = onnx.load(str(path), load_external_data=False).graph
    marked = [name for node in graph.node for name in node.output if name.startswith(PREFIX)]
    found = values_of_onnx(path, inputs, marked)
    return {name.removeprefix(PREFIX): value for name, value in found.items()}


def values_of_onnx(path: Path, inputs: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """Run an ONNX file with the inner values `names` as its outputs."""
    model = onnx.load(str(path), load_external_data=False)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    # The weights lie beside the file, not beside the bytes that are loaded here.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(list(names), dict(inputs)), strict=True))


def mark_blocks(graph: ir.Graph) -> None:
    """Give the values that the blocks hand on their names. `graph` is as torch exports it, with the scopes of nodes."""
    scopes = [(node, _scopes_of(node)) for node in graph]
    for name, value in _boundaries(scopes, lambda node: node.outputs[0], lambda node: node.inputs[0]):
        value.name = PREFIX + name


def _scopes_of(node: ir.Node) -> list[str]:
    listed = node.metadata_props.get("pkg.torch.onnx.name_scopes", "")
    return [part.strip(" '\"[]") for part in listed.split(",")]


def _boundaries(scopes: list[tuple[Any, list[str]]], leave: Any, enter: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and value of each block: what the last node of a module gives, or the first one takes."""

    def nodes(module: str) -> list[Any]:
        places = tuple(f"scorer.{holder}.{module}" for holder in ("model", "encoder", "encoder.model"))
        return [node for node, paths in scopes if any(path.endswith(places) for path in paths)]

    yield "embedding", leave(nodes("item_embedding")[0])
    if first := nodes("cells.0"):
        yield "positions", enter(first[0])
    else:  # in ONNX alone: the only cell takes rows that were picked from the table
        yield "positions", enter(enter(nodes("newest.0")[0]).producer())
    number = 0
    while cell := nodes(f"cells.{number}"):
        number += 1
        yield f"cell {number}", leave(cell[-1])
    head = nodes("head")
    yield "pooling", enter(head[0])
    yield "head", leave(head[-1])
