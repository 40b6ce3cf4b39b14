"""Backends that can be measured: every way to run a bundle, by name. A new backend is a value in `BACKENDS`."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import onnxruntime
import torch

from bench.contestants import sessions
from bst.errors import InputError
from bst.system.registry import Registry
from export import Bundle, Session
from export.bundle.folder import format_of_backend
from export.formats.compatibility import obstacles

Lacks = Callable[[Bundle], str | None]


class Open(Protocol):
    """A function that loads a signature for a number of threads; a module's function or a partial of one, so that it
    pickles.
    """

    def __call__(self, bundle: Bundle, signature: str, threads: int) -> Session: ...


def nothing(bundle: Bundle) -> str | None:
    """Report that nothing is missing."""
    return None


@dataclass(frozen=True)
class Backend:
    """A backend by name: how it is opened, and what it lacks on this machine.

    `exact`: its answers should equal eager's. `peer`: an opponent; if it fails, the command does not.
    """

    name: str
    open: Open
    lacks: Lacks = nothing
    device: str = "cpu"
    exact: bool = True
    peer: bool = False

    @property
    def runs_onnx(self) -> bool:
        """Whether it runs the bundle's ONNX file, whose `top_k` may have a shortlist."""
        return not self.peer and self.name.startswith(("onnxruntime", "openvino"))

    def missing(self, bundle: Bundle) -> str | None:
        """Say why the backend cannot be measured on this machine or with this bundle, or None."""
        if self.device == "cuda" and not torch.cuda.is_available():
            return "no CUDA device here"
        return self.lacks(bundle)


def _format(kind: str) -> Lacks:
    return partial(_lacks_format, kind=kind)


def _lacks_format(bundle: Bundle, kind: str) -> str | None:
    form = format_of_backend(kind).name
    if form not in bundle.manifest.format_names:
        return f"the bundle does not hold {form}"
    reasons = obstacles(bundle.manifest.format(form))
    return "; ".join(reasons) or None


def lacks_compiler(bundle: Bundle) -> str | None:
    return None if shutil.which("g++") or shutil.which("clang++") else "there is no C++ compiler here"


def _lacks_provider(bundle: Bundle) -> str | None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "this onnxruntime has no CUDA; install onnxruntime-gpu"
    return _lacks_format(bundle, "onnxruntime")


def lacks_openvino(bundle: Bundle) -> str | None:
    return None if importlib.util.find_spec("openvino") else "openvino is not installed; pip install openvino"


def _lacks_openvino(bundle: Bundle) -> str | None:
    reason = lacks_openvino(bundle) or _lacks_format(bundle, "onnxruntime")
    if not reason and bundle.manifest.format("onnx").ids == "raw":
        return "it has no LabelEncoder, which looks raw ids up; export with --ids index"
    return reason


def _lacks_one_length(bundle: Bundle) -> str | None:
    if bundle.manifest.model.padding == "counted":
        return "padding counts in this model, and a package computes at one length"
    return lacks_compiler(bundle)


def _listed() -> Iterable[Backend]:
    bf16, script = torch.bfloat16, _format("torchscript")
    yield Backend("eager", sessions.open_eager)
    yield Backend("eager-bf16", partial(sessions.open_eager, dtype=bf16), exact=False)
    yield Backend("compile", sessions.open_compiled, lacks_compiler)
    yield Backend("torchscript", sessions.open_torchscript, script)
    yield Backend("torchscript-scripted", partial(sessions.open_torchscript, frozen=False), script)
    yield Backend("torchscript-optimized", partial(sessions.open_torchscript, optimize=True), script)
    yield Backend("pt2", partial(sessions.open_format, kind="pt2"), _format("pt2"))
    yield Backend("aotinductor", partial(sessions.open_format, kind="aotinductor"), _format("aotinductor"))
    yield Backend("onnxruntime", sessions.open_onnxruntime, _format("onnxruntime"))
    for level in ("extended", "basic", "none"):
        opened = partial(sessions.open_onnxruntime, optimization=level)
        yield Backend(f"onnxruntime-{level}", opened, _format("onnxruntime"))
    yield Backend("openvino", sessions.open_openvino, _lacks_openvino)
    for name, dtype in (("", torch.float32), ("-bf16", bf16)):
        exact = not name
        yield Backend(
            f"eager-cuda{name}", partial(sessions.open_eager, device="cuda", dtype=dtype), nothing, "cuda", exact
        )
        compiled = partial(sessions.open_compiled, device="cuda", dtype=dtype)
        yield Backend(f"compile-cuda{name}", compiled, lacks_compiler, "cuda", exact)
        yield Backend(f"cuda-graph{name}", partial(sessions.open_cuda_graph, dtype=dtype), nothing, "cuda", exact)
        packaged = partial(sessions.open_aotinductor_cuda, dtype=dtype)
        yield Backend(f"aotinductor-cuda{name}", packaged, _lacks_one_length, "cuda", exact)
    yield Backend("torchscript-cuda", partial(sessions.open_torchscript, device="cuda"), script, "cuda")
    provider = partial(sessions.open_onnxruntime, provider="CUDAExecutionProvider")
    yield Backend("onnxruntime-cuda", provider, _lacks_provider, "cuda")


BACKENDS: Registry[Backend] = Registry("backend", _listed())


def find_backends(names: Iterable[str]) -> dict[str, Backend]:
    """Look names up. `all` stands for every backend; a repeated name is measured again, as `name#2`.

    Raises:
        InputError: a name is unknown; the message lists all names.
    """
    requested = [each for name in names for each in (BACKENDS.names if name == "all" else (name,))]
    unknown = [name for name in requested if name not in BACKENDS]
    if unknown or not requested:
        raise InputError(f"backends {', '.join(unknown) or 'none'} not known; known: {', '.join(BACKENDS.names)}, all")
    backends: dict[str, Backend] = {}
    times: Counter[str] = Counter()
    for name in requested:
        times[name] += 1
        label = name if times[name] == 1 else f"{name}#{times[name]}"
        backends[label] = replace(BACKENDS.find(name), name=label)
    return backends
