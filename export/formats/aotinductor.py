"""The format `aotinductor`: a package of machine code a signature, with the weights inside."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from bst.config import BSTConfig
from bst.errors import InputError
from export.contract.manifest import Entry, Needs
from export.contract.settings import ORT_DEFAULTS, ExportSettings, SessionOptions
from export.contract.signatures import Signature
from export.formats.aotinductor_packages import cpu_flags_for, load_aotinductor, require_compiler, save_aotinductor
from export.formats.format import Format, Order, Question
from export.serving.blocks import Blocks
from export.sessions.blocks import program_session
from export.sessions.session import Session


class AOTInductor(Format):
    name = "aotinductor"
    backend = "aotinductor"
    holds_text = False

    def require(self, config: BSTConfig, settings: ExportSettings) -> None:
        if config.padding == "counted":
            raise InputError(
                "aotinductor pads every history, and to this model (padding='counted') that matters; leave it out"
            )
        require_compiler()

    def copies(self, settings: ExportSettings) -> int:
        return len(settings.signatures)

    def entry(self, signature: str) -> Entry:
        return Entry(path=f"aotinductor/{signature}.pt2")

    def write(self, order: Order) -> None:
        served = order.served(one_length=True)
        save_aotinductor(served, order.signatures, order.folder, cpu=order.settings.cpu, metadata=order.metadata)

    def needs(self, folder: Path, settings: ExportSettings) -> Needs:
        return Needs(
            versions={},
            made_with={"torch": version("torch"), "python": platform.python_version()},
            machine=platform.machine(),
            cpu_flags=cpu_flags_for(settings.cpu),
            remarks=(
                "machine code for Linux; on a CPU without these flags it crashes the process",
                "checks neither shape nor dtype nor strides of its inputs: check them before the call",
            ),
        )

    def open(
        self, path: Path, signature: Signature, *, threads: int | None = None, options: SessionOptions = ORT_DEFAULTS
    ) -> Session:
        return program_session(signature, load_aotinductor(path))

    def look(self, path: Path, signature: Signature, question: Question) -> Blocks | str:
        return (
            "the blocks inside machine code cannot be read: export pt2 beside it, the program that it was compiled from"
        )
