"""Checks of an ONNX file: its validity, its inputs and outputs against the signature, and the place of its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from bst.errors import CheckError
from export.contract.signatures import Dtype, Signature, TensorSpec

DTYPES: Mapping[int, Dtype] = {
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.STRING: "string",
}


def check_onnx(path: Path, signature: Signature) -> None:
    """Check that the file is valid and has the inputs, outputs and axes that `signature` states.

    Raises:
        CheckError: it is not, or has not; the message names the first difference.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
        _require_inside(model.graph)
        graph = onnx.GraphProto.FromString(model.graph.SerializeToString())
        _take_as_inputs(model.graph)
        onnx.checker.check_model(model, full_check=True)
        inputs, outputs = ([_spec_of(value) for value in values] for values in (graph.input, graph.output))
    except Exception as error:  # errors of onnx, protobuf and the type reader have no other common base
        raise CheckError(f"{path} is not a valid ONNX model: {error}") from None
    for kind, actual, specs in (("input", inputs, signature.inputs), ("output", outputs, signature.outputs)):
        if actual != list(specs):
            raise CheckError(
                f"{path}: the {kind}s are {_listed(actual)}, not {_listed(specs)}; an axis was specialised at export"
            )


def weights_of(path: Path) -> list[str]:
    """List the files of weights that an ONNX file names, relative to its folder.

    Raises:
        CheckError: it is no ONNX file.
    """
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
        return sorted({ExternalDataInfo(tensor).location for _, tensor in _outside(graph)})
    except Exception as error:  # errors of protobuf have no common base
        raise CheckError(f"{path} is not a valid ONNX model: {error}") from None


def _require_inside(graph: onnx.GraphProto) -> None:
    for _, tensor in _outside(graph):
        location = PurePosixPath(ExternalDataInfo(tensor).location)
        if location.is_absolute() or ".." in location.parts:
            raise ValueError(f"the weights of {tensor.name} are at {str(location)!r}, outside of its folder")


def _take_as_inputs(graph: onnx.GraphProto) -> None:
    """Turn weights in other files into inputs: the checker of onnx refuses those files where they are links, or have
    a second name, as in a cache of downloads.
    """
    for holder, tensor in list(_outside(graph)):
        graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        holder.initializer.remove(tensor)


def _outside(graph: onnx.GraphProto) -> Iterator[tuple[onnx.GraphProto, onnx.TensorProto]]:
    """Yield each tensor whose content is in another file, with the graph that holds it."""
    for part in _graphs(graph):
        yield from ((part, tensor) for tensor in part.initializer if uses_external_data(tensor))


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _spec_of(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim)
    return TensorSpec(name=value.name, dtype=DTYPES[tensor.elem_type], shape=shape)


def _listed(specs: Any) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)
