"""What each format asks of the machine that runs it, and what would break on this one."""

from __future__ import annotations

import json
import os
import platform
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import onnx
import onnx.helper

from export.contract.manifest import FormatRecord, Manifest, Needs
from export.contract.settings import ExportSettings, Format
from export.formats import aotinductor

# The first ONNX Runtime that runs a file of an opset. That one was tried, and the one before it, which refuses the file
# (but for 1.15.0, the oldest that could be had): docs/results/export.md.
ORT_FOR_OPSET = {18: "1.15.0", 20: "1.17.0", 21: "1.19.0", 23: "1.23.0"}
TORCHSCRIPT_REMARK = (
    "TorchScript is deprecated since torch 2.13 and may break on Python 3.14; the pt2 format is its successor"
)

SEED_REMARK = (
    "TorchScript lists constants in an order that Python's hash seed decides: `bst export` with PYTHONHASHSEED=0 gives "
    "the same bytes of the same run again, without it only the same answers"
)


def needs_of(form: Format, folder: Path, settings: ExportSettings) -> Needs:
    """Say what the files of a format, written into `folder`, ask for."""
    torch_made = {"torch": version("torch"), "python": platform.python_version()}
    if form == "onnx":
        model = onnx.load(str(folder / f"{settings.signatures[0]}.onnx"), load_external_data=False)
        opsets = {entry.domain or "ai.onnx": str(entry.version) for entry in model.opset_import}
        return Needs(
            versions={**opsets, "ir_version": str(model.ir_version)},
            made_with={name: version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")},
            at_least={"onnxruntime": ORT_FOR_OPSET[int(opsets["ai.onnx"])]},
        )
    if form == "torchscript":
        seeded = os.environ.get("PYTHONHASHSEED", "random") != "random"
        remarks = (TORCHSCRIPT_REMARK, *(() if seeded else (SEED_REMARK,)))
        return Needs(versions={}, made_with=torch_made, remarks=remarks)
    if form == "pt2":
        schema = pt2_schema(folder / "model.pt2", settings.signatures[0])
        return Needs(versions={"torch.export schema": schema}, made_with=torch_made)
    return Needs(
        versions={},
        made_with=torch_made,
        machine=platform.machine(),
        cpu_flags=aotinductor.needs(settings.cpu),
        remarks=(
            "machine code for Linux; on a CPU without these flags it crashes the process",
            "checks neither shape nor dtype nor strides of its inputs: check them before the call",
        ),
    )


def pt2_schema(path: Path, signature: str) -> str:
    """Read the version of the schema that a program is written in, such as `8.14`, without loading torch's compiler."""
    with zipfile.ZipFile(path) as file:
        (entry,) = (one for one in file.namelist() if one.endswith(f"models/{signature}.json"))
        version = json.loads(file.read(entry))["schema_version"]
    return f"{version['major']}.{version['minor']}"


def obstacles(record: FormatRecord) -> list[str]:
    """Say why a format cannot run on this machine; it must then not be loaded. Empty if it can."""
    needs = record.needs
    found = []
    if needs.machine is not None and needs.machine != platform.machine():
        found.append(f"is machine code for {needs.machine}, this machine is {platform.machine()}")
    elif missing := [flag for flag in needs.cpu_flags if flag not in aotinductor.cpu_flags()]:
        found.append(f"needs the CPU features {', '.join(missing)}, which this CPU has not; export again here")
    if (schema := needs.versions.get("torch.export schema")) and schema.split(".")[0] != _schema_here():
        found.append(f"is written in torch.export schema {schema}, torch {version('torch')} reads {_schema_here()}")
    for library, least in needs.at_least.items():
        here = _installed(library)
        if here is None or _numbers(here) < _numbers(least):
            found.append(f"needs {library} {least}, here is {here or 'none'}; update it")
    return found


def warnings_of(manifest: Manifest) -> list[str]:
    """Say what may break on this machine, though it was not seen to: one line each."""
    told = []
    for record in manifest.formats:
        told += [f"{record.name}: {remark}" for remark in record.needs.remarks]
        for library, made in record.needs.made_with.items():
            here = platform.python_version() if library == "python" else _installed(library)
            if here is not None and _numbers(here)[:2] < _numbers(made)[:2]:
                told.append(f"{record.name}: made with {library} {made}, here is the older {here}, which was not tried")
        if record.name == "torchscript" and sys.version_info >= (3, 14):
            told.append(f"torchscript: this is Python {platform.python_version()}, where torch promises nothing for it")
        if record.ids != manifest.ids:
            told.append(
                f"{record.name}: at index level, for text ids cannot go through tensors; vocabulary.json has them"
            )
    return told


def _schema_here() -> str:
    # A second, for torch's compiler comes with it.
    from torch._export.serde.schema import SCHEMA_VERSION

    return str(SCHEMA_VERSION[0])


def _installed(library: str) -> str | None:
    try:
        return version(library)
    except (PackageNotFoundError, ValueError):  # ValueError: what a manifest states need not be a name at all
        return None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part[:9]) for part in text.split("+")[0].split(".") if part.isdecimal())
