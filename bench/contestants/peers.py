"""The opponents: common ways to serve a model, from the same weights, by index (ids are looked up before the clock).

plain-compile         `torch.compile` of the plain module (`bench.contestants.plain`)
plain-script          `torch.jit.script` of it
plain-onnx            `torch.onnx.export` of it, in ONNX Runtime with its defaults
plain-onnx-legacy     the same by the older exporter (`dynamo=False`)
plain-onnx-optimized  `plain-onnx` through `onnxruntime.transformers.optimizer`
plain-onnx-int8       `plain-onnx` through `quantize_dynamic` (seven bits without VNNI); not expected to be equal
plain-openvino        `plain-onnx` in OpenVINO with its defaults, which may be bfloat16; not expected to be equal
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from bench.contestants.backends import Backend, Lacks, Open, lacks_compiler, lacks_openvino, nothing
from bench.contestants.plain import plain
from bench.contestants.sessions import OpenVinoSession
from bst.errors import reason
from bst.system.console import Tell
from bst.system.machine import cpu_flags
from bst.system.registry import Registry
from export import Bundle, Session
from export.contract.inputs import Array
from export.contract.signatures import SIGNATURES, Signature
from export.formats.quiet import quiet
from export.formats.torchscript_archive import script
from export.sessions.session import OnnxSession, TorchSession, rebuild_eager

FILE = "model.onnx"


@dataclass(frozen=True)
class Opponent:
    """A common way to serve a model, to compare with. Add one to `OPPONENTS`, and `--peers` measures it.

    Attributes:
        name: on the command line, as that of a backend.
        build: from a bundle, the name of a signature, an empty folder for files, and the folder of `made_from`, a
            function that opens it. If it raises, the opponent is missing and the others are measured.
        made_from: the opponent whose files it starts from; one that comes before it.
        lacks: returns the reason why it cannot be measured on this machine, or None.
        exact: its answers should equal eager's.
    """

    name: str
    build: Callable[[Bundle, str, Path, Path | None], Open]
    made_from: str | None = None
    lacks: Lacks = nothing
    exact: bool = True


def build_peers(
    bundle: Bundle, signature: str, folder: Path, names: Sequence[str] | None = None, tell: Tell = lambda step: None
) -> tuple[dict[str, Backend], dict[str, str]]:
    """Build the files of the opponents `names`, or of all, below `folder`; return the backends by name, and the reasons
    for those that are missing."""
    chosen_opponents = [OPPONENTS.find(name) for name in names or OPPONENTS.names]
    if SIGNATURES.find(signature).picks and bundle.manifest.settings.top_k.k_is_input:
        return {}, {opponent.name: "the plain export has no k as an input" for opponent in chosen_opponents}
    if bundle.manifest.model.sequences:
        return {}, {opponent.name: "the plain export reads one sequence" for opponent in chosen_opponents}
    needed = {opponent.name for opponent in chosen_opponents} | {opponent.made_from for opponent in chosen_opponents}
    peers: dict[str, Backend] = {}
    missing: dict[str, str] = {}
    for opponent in OPPONENTS:
        if opponent.name not in needed:
            continue
        if lack := opponent.lacks(bundle):
            missing[opponent.name] = lack
            continue
        if opponent.made_from in missing:
            missing[opponent.name] = f"{opponent.made_from} {missing[opponent.made_from]}"
            continue
        tell(f"building {opponent.name}")
        (folder / opponent.name).mkdir()
        try:
            with _silent():
                source = folder / opponent.made_from if opponent.made_from else None
                opened = opponent.build(bundle, signature, folder / opponent.name, source)
        except Exception as error:  # exporters and optimizers raise any exception
            missing[opponent.name] = f"cannot be built: {_first_line(error)}"
            continue
        peers[opponent.name] = Backend(opponent.name, opened, exact=opponent.exact, peer=True)
    chosen = {opponent.name for opponent in chosen_opponents}
    return (
        {name: opponent for name, opponent in peers.items() if name in chosen},
        {name: reason for name, reason in missing.items() if name in chosen},
    )


def open_torch(bundle: Bundle, signature: str, threads: int, *, prepared: Callable[[torch.nn.Module], Any]) -> Session:
    """Open the plain module, prepared as an opponent would."""
    return bundle.looked_up(signature, "index", lambda inner: _PlainTorch(inner, prepared(_plain(bundle, inner))))


def open_onnx(bundle: Bundle, signature: str, threads: int, *, path: Path) -> Session:
    """Open a file of `build_peers` in ONNX Runtime."""
    return bundle.looked_up(signature, "index", lambda inner: _PlainOnnx(inner, path, threads))


def open_openvino(bundle: Bundle, signature: str, threads: int, *, path: Path) -> Session:
    """Open a file of `build_peers` in OpenVINO."""
    return bundle.looked_up(signature, "index", lambda inner: _PlainOpenVino(inner, path, threads, {}))


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


def _export(bundle: Bundle, name: str, path: Path, source: Path | None, *, dynamo: bool) -> None:
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


def _optimize(bundle: Bundle, name: str, path: Path, source: Path | None) -> None:
    from onnxruntime.transformers import optimizer

    config = bundle.manifest.model
    model = optimizer.optimize_model(str(_file_in(source)), "bert", config.num_heads, config.dim)
    model.save_model_to_file(str(path), use_external_data_format=True)


def _quantize(bundle: Bundle, name: str, path: Path, source: Path | None) -> None:
    from onnxruntime.quantization import quantize_dynamic

    model = onnx.load(_file_in(source))
    del model.graph.value_info[:]  # torch 2.11 leaves the shapes of weights before their transposition
    # Without VNNI a CPU adds products of eight bits in sixteen, which overflow; then ONNX Runtime advises seven bits.
    overflows = "avx2" in cpu_flags() and not {"avx512_vnni", "avx_vnni"} & cpu_flags()
    quantize_dynamic(model, path, reduce_range=overflows, use_external_data_format=True)


def _file_in(folder: Path | None) -> Path:
    assert folder is not None  # its opponent is made from another
    return folder / FILE


def _in_torch(
    bundle: Bundle, signature: str, folder: Path, source: Path | None, *, prepared: Callable[[torch.nn.Module], Any]
) -> Open:
    return partial(open_torch, prepared=prepared)


def _in_onnxruntime(
    bundle: Bundle,
    signature: str,
    folder: Path,
    source: Path | None,
    *,
    write: Callable[[Bundle, str, Path, Path | None], None],
) -> Open:
    write(bundle, signature, folder / FILE, source)
    return partial(open_onnx, path=folder / FILE)


def _in_openvino(bundle: Bundle, signature: str, folder: Path, source: Path | None) -> Open:
    return partial(open_openvino, path=_file_in(source))


PLAIN = "plain-onnx"
OPPONENTS: Registry[Opponent] = Registry(
    "opponent",
    (
        Opponent("plain-compile", partial(_in_torch, prepared=torch.compile), lacks=lacks_compiler),
        Opponent("plain-script", partial(_in_torch, prepared=script)),
        Opponent(PLAIN, partial(_in_onnxruntime, write=partial(_export, dynamo=True))),
        Opponent("plain-onnx-legacy", partial(_in_onnxruntime, write=partial(_export, dynamo=False))),
        Opponent("plain-onnx-optimized", partial(_in_onnxruntime, write=_optimize), made_from=PLAIN),
        Opponent("plain-onnx-int8", partial(_in_onnxruntime, write=_quantize), made_from=PLAIN, exact=False),
        Opponent("plain-openvino", _in_openvino, made_from=PLAIN, lacks=lacks_openvino, exact=False),
    ),
)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Suppress what exporters print and log."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def _first_line(error: Exception) -> str:
    return reason(error)[:200]
