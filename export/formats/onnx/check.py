"""Is an ONNX file valid, and does it say of itself what a signature states?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from bst.errors import CheckError
from export.contract.signatures import Dtype, Signature, TensorSpec

DTYPES: Mapping[int, Dtype] = {
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.STRING: "string",
}


def check_onnx(path: Path, signature: Signature) -> None:
    """Ask the file itself whether it is valid and has the inputs, outputs and axes that `signature` states.

    Raises:
        CheckError: it is not, or has not; the message names the first difference.
    """
    try:
        onnx.checker.check_model(str(path), full_check=True)
        graph = onnx.load(str(path), load_external_data=False).graph
        inputs, outputs = ([_spec_of(value) for value in values] for values in (graph.input, graph.output))
    except Exception as error:  # those of onnx, of protobuf and of what reads the types have no other common base
        raise CheckError(f"{path} is not a valid ONNX model: {error}") from None
    for kind, found, specs in (("input", inputs, signature.inputs), ("output", outputs, signature.outputs)):
        if found != list(specs):
            raise CheckError(
                f"{path}: the {kind}s are {_listed(found)}, not {_listed(specs)}; an axis was specialised at export"
            )


def _spec_of(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim)
    return TensorSpec(name=value.name, dtype=DTYPES[tensor.elem_type], shape=shape)


def _listed(specs: Any) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)
