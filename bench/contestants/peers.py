"""The opponents: what people do today, from the same weights, by index (ids are looked up before the clock starts).

plain-compile         `torch.compile` of the plain module (`bench.contestants.plain`)
plain-script          `torch.jit.script` of it
plain-onnx            `torch.onnx.export` of it, in ONNX Runtime with its defaults
plain-onnx-legacy     the same by the older exporter (`dynamo=False`)
plain-onnx-optimized  `plain-onnx` through `onnxruntime.transformers.optimizer`
plain-onnx-int8       `plain-onnx` through `quantize_dynamic` (seven bits without VNNI); not meant to be equal
plain-openvino        `plain-onnx` in OpenVINO with its defaults, which may be bfloat16; not meant to be equal
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from bench.contestants.backends import Backend, lacks_compiler, lacks_openvino
from bench.contestants.plain import plain
from bench.contestants.sessions import Array, OpenVinoSession
from bst.errors import reason
from bst.system.console import Tell
from bst.system.machine import cpu_flags
from export import Bundle, Session
from export.contract.signatures import Signature
from export.formats.quiet import quiet
from export.formats.torchscript_archive import script
from export.sessions.session import OnnxSession, TorchSession, rebuild_eager

NAMES = (
    *("plain-compile", "plain-script", "plain-onnx", "plain-onnx-legacy"),
    *("plain-onnx-optimized", "plain-onnx-int8", "plain-openvino"),
)
FROM_PLAIN_ONNX = ("plain-onnx-optimized", "plain-onnx-int8", "plain-openvino")


def build_peers(
    bundle: Bundle, signature: str, folder: Path, names: Sequence[str] = NAMES, tell: Tell = lambda step: None
) -> tuple[dict[str, Backend], dict[str, str]]:
    """Build the files of the opponents `names` below `folder`; give the backends by name, and why some are missing."""
    top_k = bundle.manifest.settings.top_k
    if signature == "top_k" and (top_k.exclude_history or top_k.k_is_input):
        return {}, dict.fromkeys(names, "the plain export has neither k as an input nor histories left out")
    found = {
        "plain-compile": partial(open_torch, prepared=torch.compile),
        "plain-script": partial(open_torch, prepared=script),
    }
    missing: dict[str, str] = {}
    needed = {*names, *("plain-onnx" for name in names if name in FROM_PLAIN_ONNX)}
    for name, path in _files(folder).items():
        if name not in needed:
            continue
        tell(f"building {name}")
        try:
            with _silent():
                BUILDERS[name](bundle, signature, path)
            found[name] = partial(open_onnx, path=path)
        except Exception as error:  # exporters and optimizers fail with anything
            missing[name] = f"cannot be built: {_first_line(error)}"
    if "plain-onnx" in found:
        found["plain-openvino"] = partial(open_openvino, path=_files(folder)["plain-onnx"])
    lacks = {"plain-compile": lacks_compiler, "plain-openvino": lacks_openvino}
    peers = {}
    for name, opened in found.items():
        if name not in names:
            continue
        if told := lacks[name](bundle) if name in lacks else None:
            missing[name] = told
        else:
            peers[name] = Backend(name, opened, exact=name not in ("plain-onnx-int8", "plain-openvino"), peer=True)
    return peers, missing


def open_torch(bundle: Bundle, signature: str, threads: int, *, prepared: Callable[[torch.nn.Module], Any]) -> Session:
    """The plain module, prepared as an opponent would."""
    return bundle.looked_up(signature, "index", lambda stated: _PlainTorch(stated, prepared(_plain(bundle, stated))))


def open_onnx(bundle: Bundle, signature: str, threads: int, *, path: Path) -> Session:
    """A file that was built before, in ONNX Runtime."""
    return bundle.looked_up(signature, "index", lambda stated: _PlainOnnx(stated, path, threads))


def open_openvino(bundle: Bundle, signature: str, threads: int, *, path: Path) -> Session:
    """A file that was built before, in OpenVINO."""
    return bundle.looked_up(signature, "index", lambda stated: _PlainOpenVino(stated, path, threads, {}))


def whole_inputs(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Inputs by index with a context in any case: `[batch, 0]` where the model has none."""
    none = np.zeros((len(inputs["items"]), 0), dtype=np.int64)
    return {name: np.ascontiguousarray(inputs.get(name, none)) for name in ("items", "context", *inputs)}


class _PlainTorch(TorchSession):
    def prepare(self, inputs: Mapping[str, Array]) -> list[Any]:
        return [torch.from_numpy(np.require(array, requirements="W")) for array in whole_inputs(inputs).values()]


class _PlainOnnx(OnnxSession):
    def prepare(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        whole = whole_inputs(inputs)
        return {one.name: whole[one.name] for one in self.session.get_inputs()}  # an exporter drops what is not used


class _PlainOpenVino(OpenVinoSession):
    def prepare(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        whole = whole_inputs(inputs)
        return {one.any_name: whole[one.any_name] for one in self.request.model_inputs}


def _plain(bundle: Bundle, signature: Signature) -> torch.nn.Module:
    served = rebuild_eager(bundle.path, bundle.manifest, bundle.vocabularies)
    return plain(served.scorer.model, signature, bundle.manifest.settings.top_k.limit)


def _files(folder: Path) -> dict[str, Path]:
    """Where the files of the opponents lie, in the order in which they are built: each in a folder of its own."""
    return {name: folder / name / "model.onnx" for name in BUILDERS}


def _export(bundle: Bundle, name: str, path: Path, *, dynamo: bool) -> None:
    path.parent.mkdir(parents=True)
    signature = bundle.signature_at(name, "index")
    columns = len(bundle.manifest.context)
    example = [torch.ones(3, 5, dtype=torch.int64), torch.ones(3, columns, dtype=torch.int64)]
    axes: dict[str, dict[int, str]] = {"items": {0: "batch", 1: "length"}, "context": {0: "batch"}}
    if name == "score_candidates":
        example.append(torch.ones(3, 7, dtype=torch.int64))
        axes["candidates"] = {0: "batch", 1: "n"}
    torch.onnx.export(
        _plain(bundle, signature),
        tuple(example),
        str(path),
        dynamo=dynamo,
        input_names=list(axes),
        output_names=list(signature.output_names),
        dynamic_shapes=axes if dynamo else None,
        dynamic_axes=None if dynamo else axes,
    )


def _optimize(bundle: Bundle, name: str, path: Path) -> None:
    from onnxruntime.transformers import optimizer

    path.parent.mkdir()
    config = bundle.manifest.model
    plain_file = _files(path.parents[1])["plain-onnx"]
    model = optimizer.optimize_model(str(plain_file), "bert", config.num_heads, config.dim)
    model.save_model_to_file(str(path), use_external_data_format=True)


def _quantize(bundle: Bundle, name: str, path: Path) -> None:
    from onnxruntime.quantization import quantize_dynamic

    path.parent.mkdir()
    model = onnx.load(_files(path.parents[1])["plain-onnx"])
    del model.graph.value_info[:]  # torch 2.11 leaves the shapes of weights as they were before it transposed them
    # Without VNNI a CPU adds products of eight bits in sixteen, which overflow; then ONNX Runtime advises seven bits.
    overflows = "avx2" in cpu_flags() and not {"avx512_vnni", "avx_vnni"} & cpu_flags()
    quantize_dynamic(model, path, reduce_range=overflows, use_external_data_format=True)


BUILDERS: dict[str, Callable[[Bundle, str, Path], None]] = {
    "plain-onnx": partial(_export, dynamo=True),
    "plain-onnx-legacy": partial(_export, dynamo=False),
    "plain-onnx-optimized": _optimize,
    "plain-onnx-int8": _quantize,
}


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep back what exporters print and log."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def _first_line(error: Exception) -> str:
    return reason(error)[:200]
