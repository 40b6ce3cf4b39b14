"""The blocks of the model inside an ONNX file: marked when it is written, read as outputs when it is inspected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir as ir
import onnxruntime

from export.contract.inputs import Array
from export.serving.blocks import Blocks, boundaries

PREFIX = "blocks/"


def blocks_of_onnx(path: Path, inputs: Mapping[str, Array]) -> Blocks:
    """Run an ONNX file that was written with `mark_blocks`, with its blocks as outputs."""
    graph = onnx.load(str(path), load_external_data=False).graph
    marked = [name for node in graph.node for name in node.output if name.startswith(PREFIX)]
    values = values_of_onnx(path, inputs, marked)
    return {name.removeprefix(PREFIX): value for name, value in values.items()}


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


def mark_blocks(graph: ir.Graph, *, of_candidates: bool = False) -> None:
    """Name the values that the blocks hand on. `graph` is as torch exports it, with the scopes of nodes; see
    `boundaries`.
    """
    scopes = [(node, _scopes_of(node)) for node in graph]
    values = boundaries(scopes, lambda node: node.outputs[0], lambda node: node.inputs[0], of_candidates=of_candidates)
    for name, value in values:
        value.name = PREFIX + name
        if of_candidates:  # the others are inside a Loop, where no output can be
            return


def _scopes_of(node: ir.Node) -> list[str]:
    listed = node.metadata_props.get("pkg.torch.onnx.name_scopes", "")
    return [part.strip(" '\"[]") for part in listed.split(",")]
