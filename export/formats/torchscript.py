"""The format `torchscript`: one scripted module with a method a signature."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from export.contract.manifest import Entry, Needs
from export.contract.settings import ORT_DEFAULTS, ExportSettings, SessionOptions
from export.contract.signatures import Signature
from export.formats.format import IN_TORCH, SNIPPETS, Format, Order, Question, Snippet
from export.formats.torchscript_archive import load_torchscript, save_torchscript
from export.serving.blocks import Blocks, blocks_of_model
from export.sessions.session import Session, TorchSession

FILE = "model.pt"
REMARK = "TorchScript is deprecated since torch 2.13 and may break on Python 3.14; the pt2 format is its successor"
SEED_REMARK = (
    "TorchScript lists constants in an order that Python's hash seed decides: `bst export` with PYTHONHASHSEED=0 gives "
    "the same bytes of the same run again, without it only the same answers"
)


class TorchScript(Format):
    name = "torchscript"
    backend = "torchscript"
    snippets = (Snippet("TorchScript", "python", SNIPPETS / "torchscript.py.jinja", IN_TORCH),)

    def entry(self, signature: str) -> Entry:
        return Entry(path=f"torchscript/{FILE}", function=signature)

    def write(self, order: Order) -> None:
        save_torchscript(order.served(), order.signatures, order.folder / FILE, metadata=order.metadata)

    def needs(self, folder: Path, settings: ExportSettings) -> Needs:
        seeded = os.environ.get("PYTHONHASHSEED", "random") != "random"
        made_with = {"torch": version("torch"), "python": platform.python_version()}
        return Needs(versions={}, made_with=made_with, remarks=(REMARK, *(() if seeded else (SEED_REMARK,))))

    def warnings(self) -> list[str]:
        if sys.version_info < (3, 14):
            return []
        return [f"this is Python {platform.python_version()}, where torch does not support it"]

    def open(
        self, path: Path, signature: Signature, *, threads: int | None = None, options: SessionOptions = ORT_DEFAULTS
    ) -> Session:
        module = load_torchscript(path, freeze=(signature.name,))
        return TorchSession(signature, getattr(module, signature.name))

    def look(self, path: Path, signature: Signature, question: Question) -> Blocks | str:
        return blocks_of_model(load_torchscript(path).scorer.model, question.by_index)
