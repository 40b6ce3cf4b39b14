"""TorchScript: the only place that touches `torch.jit`, which warns that it is deprecated (torch 2.13 and later)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bst.errors import InputError, reason
from export.contract.signatures import Signature
from export.guards import archives
from export.serving.scorer import IntegerIds, Scorer, ServedModel, TextIds, method_source

FILE = "model.pt"


def save_torchscript(
    model: ServedModel, signatures: tuple[Signature, ...], path: Path, *, metadata: Mapping[str, str]
) -> None:
    """Script `model` with one method a signature and write it to `path`; `metadata` go into the archive's `extra/`.

    The model must be in evaluation mode.
    """
    with _no_deprecation():
        for kind in (Scorer, IntegerIds, TextIds):
            for name, function in vars(kind).items():
                if not name.startswith("_") and name != "forward":
                    torch.jit.export(function)  # mark it for compilation; changes nothing else

        class Served(torch.nn.Module):
            """A class of its own for each archive: TorchScript shares compiled methods between modules of one class."""

        archive = Served()
        for name, child in model.named_children():
            archive.add_module(name, child)
        scripted = torch.jit.script(archive.eval())
        for signature in signatures:
            scripted.define(method_source(signature))
        torch.jit.save(scripted, str(path), _extra_files=dict(metadata))


def load_torchscript(path: Path, *, freeze: tuple[str, ...] = (), optimize: bool = False, device: str = "cpu") -> Any:
    """Load a scripted model.

    Args:
        freeze: the methods to keep when weights are folded in as constants; none for a model as it was scripted.
        optimize: change what was frozen to what torch takes for faster (`torch.jit.optimize_for_inference`).
        device: where it computes.

    Raises:
        InputError: the file is not a TorchScript archive, or calls what no model of ours needs
            (`export.guards.archives`).
    """
    with _no_deprecation():
        try:
            archives.require_inert(path)
            module = torch.jit.load(str(path), map_location=device)
            archives.require_arithmetic(module)
            module.eval()
            if not freeze:
                return module
            frozen = torch.jit.freeze(module, preserved_attrs=list(freeze))
            return torch.jit.optimize_for_inference(frozen, other_methods=list(freeze)) if optimize else frozen
        except (*archives.UNREADABLE, AttributeError, IndexError, KeyError) as error:
            raise InputError(f"{path} is not a TorchScript file of bst ({reason(error)}); export again") from None


def script(module: torch.nn.Module) -> Any:
    """Script a module of any kind, as its user would."""
    with _no_deprecation():
        return torch.jit.script(module)


@contextmanager
def _no_deprecation() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
        yield
