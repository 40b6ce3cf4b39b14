"""The files and sessions of the plain opponents: the plain module in torch, and its exports in other runtimes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from bench.contestants.backends import Open
from bench.contestants.plain import plain
from bench.contestants.sessions import OpenVinoSession
from bst.system.machine import cpu_flags
from export import Bundle, Session
from export.contract.inputs import Array
from export.contract.signatures import Signature
from export.sessions.session import OnnxSession, TorchSession, rebuild_eager

FILE = "model.onnx"


def open_torch(bundle: Bundle, signature: str, threads: int, *, prepared: Callable[[torch.nn.Module], Any]) -> Session:
    """Open the plain module, prepared as an opponent would."""
    return bundle.looked_up(signature, "index", lambda inner: _PlainTorch(inner, prepared(_plain(bundle, inner))))


def open_onnx(bundle: Bundle, signature: str, threads: int, *, path: Path) -> Session:
    """Open a file of `build_peers` in ONNX Runtime."""
    return bundle.looked_up(signature, "index", lambda inner: _PlainOnnx(inner, path, threads))


def open_openvino(bundle: Bundle, signature: str, threads: int, *, path: Path, settings: Mapping[str, Any]) -> Session:
    """Open a file of `build_peers` in OpenVINO."""
    return bundle.looked_up(signature, "index", lambda inner: _PlainOpenVino(inner, path, threads, settings))


def whole_inputs(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return inputs by index with a context in any case: `[batch, 0]` where the model has none. `items`, `context` and
    `candidates` come first.
    """
    none = np.zeros((len(inputs["items"]), 0), dtype=np.int64)
    first = ("items", "context", *(name for name in ("candidates",) if name in inputs))
    return {name: np.ascontiguousarray(inputs.get(name, none)) for name in (*first, *inputs)}


# The parameters of the plain modules.
OF_FORWARD = ("items", "context", "candidates", "events", "event_time", "request_time", "numbers", "candidate_features")


class _PlainTorch(TorchSession):
    def prepare(self, inputs: Mapping[str, Array]) -> list[Any]:
        whole = whole_inputs(inputs)
        writable = {name: torch.from_numpy(np.require(array, requirements="W")) for name, array in whole.items()}
        return [writable.get(name) for name in OF_FORWARD]


class _PlainOnnx(OnnxSession):
    def prepare(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        whole = whole_inputs(inputs)
        return {node.name: whole[node.name] for node in self.session.get_inputs()}  # an exporter drops unused inputs


class _PlainOpenVino(OpenVinoSession):
    def prepare(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        whole = whole_inputs(inputs)
        return {node.any_name: whole[node.any_name] for node in self.request.model_inputs}


def _plain(bundle: Bundle, signature: Signature) -> torch.nn.Module:
    served = rebuild_eager(bundle.path, bundle.manifest, bundle.vocabularies)
    return plain(served.scorer.model, signature, bundle.manifest.settings.top_k)


def export_plain(bundle: Bundle, name: str, path: Path, source: Path | None, *, dynamo: bool) -> None:
    signature = bundle.signature_at(name, "index")
    config, sizes = bundle.manifest.model, {"batch": 3, "length": 5, "n": 7}
    shapes: dict[str, tuple[str | int, ...]] = {"items": ("batch", "length"), "context": ("batch", len(config.context))}
    if signature.kind.takes_candidates:
        shapes["candidates"] = ("batch", "n")
        shapes |= {group.name: group.axes(config) for group in config.candidate_inputs}
    shapes |= {group.name: group.axes(config) for group in config.inputs}
    shapes = {name: shapes[name] for name in OF_FORWARD if name in shapes}  # the older exporter names them by place
    floats = {group.name for group in config.inputs if group.holds == "numbers"}
    example = {
        name: torch.ones(
            [sizes[axis] if isinstance(axis, str) else axis for axis in shape],
            dtype=torch.float32 if name in floats else torch.int64,
        )
        for name, shape in shapes.items()
    }
    axes = {
        name: {place: axis for place, axis in enumerate(shape) if isinstance(axis, str)}
        for name, shape in shapes.items()
    }
    torch.onnx.export(
        _plain(bundle, signature),
        (),
        str(path),
        kwargs=example,
        dynamo=dynamo,
        input_names=list(axes),
        output_names=list(signature.output_names),
        dynamic_shapes=axes if dynamo else None,
        dynamic_axes=None if dynamo else axes,
    )


def optimize_plain(bundle: Bundle, name: str, path: Path, source: Path | None) -> None:
    from onnxruntime.transformers import optimizer

    config = bundle.manifest.model
    model = optimizer.optimize_model(str(_file_in(source)), "bert", config.num_heads, config.dim)
    model.save_model_to_file(str(path), use_external_data_format=True)


def quantize_plain(bundle: Bundle, name: str, path: Path, source: Path | None) -> None:
    from onnxruntime.quantization import quantize_dynamic

    model = onnx.load(_file_in(source))
    del model.graph.value_info[:]  # torch 2.11 leaves the shapes of weights before their transposition
    # Without VNNI a CPU adds products of eight bits in sixteen, which overflow; then ONNX Runtime advises seven bits.
    overflows = "avx2" in cpu_flags() and not {"avx512_vnni", "avx_vnni"} & cpu_flags()
    quantize_dynamic(model, path, reduce_range=overflows, use_external_data_format=True)


def _file_in(folder: Path | None) -> Path:
    assert folder is not None  # its opponent is made from another
    return folder / FILE


def built_in_torch(
    bundle: Bundle, signature: str, folder: Path, source: Path | None, *, prepared: Callable[[torch.nn.Module], Any]
) -> Open:
    return partial(open_torch, prepared=prepared)


def built_for_onnxruntime(
    bundle: Bundle,
    signature: str,
    folder: Path,
    source: Path | None,
    *,
    write: Callable[[Bundle, str, Path, Path | None], None],
) -> Open:
    write(bundle, signature, folder / FILE, source)
    return partial(open_onnx, path=folder / FILE)


def built_for_openvino(
    bundle: Bundle, signature: str, folder: Path, source: Path | None, *, settings: Mapping[str, Any]
) -> Open:
    return partial(open_openvino, path=_file_in(source), settings=settings)
