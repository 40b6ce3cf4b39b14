"""The format `pt2`: an archive of `torch.export` programs, one a signature, over one set of weights."""

from __future__ import annotations

import json
import platform
import zipfile
from importlib.metadata import version
from pathlib import Path

import torch

from export.contract.manifest import Entry, Needs
from export.contract.settings import ORT_DEFAULTS, ExportSettings, SessionOptions
from export.contract.signatures import PROBABILITIES, Signature
from export.formats.format import IN_TORCH, SNIPPETS, Format, Order, Question, Snippet
from export.serving.blocks import Blocks
from export.sessions.blocks import program_session
from export.sessions.session import Session

# `export.formats.pt2_archive` is imported where it is used: torch's compiler comes with it, which takes a second.
FILE = "model.pt2"
SCHEMA = "torch.export schema"


class Pt2(Format):
    name = "pt2"
    backend = "pt2"
    holds_text = False
    snippets = (Snippet("torch.export", "python", SNIPPETS / "pt2.py.jinja", IN_TORCH),)

    def entry(self, signature: str) -> Entry:
        return Entry(path=f"pt2/{FILE}", function=signature)

    def write(self, order: Order) -> None:
        from export.formats.pt2_archive import save_pt2

        save_pt2(order.served(), order.signatures, order.folder / FILE, metadata=order.metadata)

    def needs(self, folder: Path, settings: ExportSettings) -> Needs:
        made_with = {"torch": version("torch"), "python": platform.python_version()}
        return Needs(versions={SCHEMA: schema_of(folder / FILE, settings.signatures[0])}, made_with=made_with)

    def obstacles(self, needs: Needs) -> list[str]:
        written_in = needs.versions.get(SCHEMA)
        if written_in is None or written_in.split(".")[0] == (read := _schema_here()):
            return []
        return [f"is written in {SCHEMA} {written_in}, torch {version('torch')} reads {read}"]

    def open(
        self, path: Path, signature: Signature, *, threads: int | None = None, options: SessionOptions = ORT_DEFAULTS
    ) -> Session:
        from export.formats.pt2_archive import load_pt2_module

        return program_session(signature, load_pt2_module(path, signature.name))

    def look(self, path: Path, signature: Signature, question: Question) -> Blocks | str:
        from export.formats.pt2_archive import blocks_of_program, load_pt2

        inputs = [torch.from_numpy(array) for array in question.inputs.values()]
        of_candidates = PROBABILITIES in signature.output_names
        return blocks_of_program(load_pt2(path, signature.name), inputs, of_candidates=of_candidates)


def schema_of(path: Path, signature: str) -> str:
    """Read the version of the schema that a program is written in, such as `8.14`."""
    with zipfile.ZipFile(path) as file:
        (entry,) = (name for name in file.namelist() if name.endswith(f"models/{signature}.json"))
        schema = json.loads(file.read(entry))["schema_version"]
    return f"{schema['major']}.{schema['minor']}"


def _schema_here() -> str:
    from torch._export.serde.schema import SCHEMA_VERSION

    return str(SCHEMA_VERSION[0])
