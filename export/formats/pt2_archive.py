"""`torch.export` programs (`.pt2`), successor of TorchScript: all signatures in one archive over one set of weights.

What torch's own reader would unpickle, evaluate as Python, import, or call beyond arithmetic, is refused or left unread
here. Importing this module loads torch's compiler, which takes a second: import it where a program is written or read.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.pt2_archive import PT2ArchiveReader, PT2ArchiveWriter, _package
from torch.export.pt2_archive import constants as archive

from bst.errors import CheckError, InputError, reason
from export.contract.inputs import Array
from export.contract.signatures import Signature
from export.guards import archives
from export.serving.blocks import Blocks, boundaries
from export.serving.scorer import ServedModel

# Sizes above 1 and different from one another, so that none is taken for another or for a constant.
EXAMPLE_SIZES = {"batch": 3, "length": 5, "n": 7}
PAYLOADS = (archive.WEIGHTS_DIR, archive.CONSTANTS_DIR)
SHARED = (
    archive.WEIGHTS_DIR + archive.WEIGHT_FILENAME_PREFIX,
    archive.CONSTANTS_DIR + archive.TENSOR_CONSTANT_FILENAME_PREFIX,
)


def export_program(model: ServedModel, signature: Signature) -> ExportedProgram:
    """Trace `signature` of `model`, which must be in evaluation mode; inputs are positional, int64.

    Raises:
        CheckError: an axis that is dynamic in the signature came out static.
    """

    program = ServedModel(model.scorer, None)
    for name, child in model.named_children():
        program.add_module(name, child)
    program.forward = program.method(signature)
    axes = {name: torch.export.Dim(name, min=1) for name in EXAMPLE_SIZES}
    example = tuple(
        torch.ones(
            [EXAMPLE_SIZES[axis] if isinstance(axis, str) else axis for axis in spec.shape],
            dtype=torch.int64,
            device=next(model.parameters()).device,
        )
        for spec in signature.inputs
    )
    dynamic = tuple(
        {place: axes[axis] for place, axis in enumerate(spec.shape) if isinstance(axis, str)}
        for spec in signature.inputs
    )
    exported = torch.export.export(program.eval(), example, dynamic_shapes=dynamic)
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of the machine that exported
    check_program(exported, signature)
    return exported


def check_program(program: ExportedProgram, signature: Signature) -> None:
    """Ask the program for the axes of its inputs.

    Raises:
        CheckError: one is static that should be dynamic, or the other way round, or does not begin at 1.
    """
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    for spec, name in zip(signature.inputs, program.graph_signature.user_inputs, strict=True):
        for place, (stated, found) in enumerate(zip(spec.shape, values[name].shape, strict=True)):
            if isinstance(stated, str):
                held = isinstance(found, torch.SymInt) and program.range_constraints[found.node.expr]
                right = held and held.lower == 1 and held.upper > 2**31
            else:
                right = not isinstance(found, torch.SymInt) and stated == found
            if not right:
                raise CheckError(f"pt2, {signature.name}: axis {place} of {spec.name} is {found}, not {stated}")


def save_pt2(model: ServedModel, signatures: tuple[Signature, ...], path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write one archive with a program a signature, under its name; equal weights are stored once.

    Raises:
        CheckError: as `export_program`.
    """
    programs = {signature.name: export_program(model, signature) for signature in signatures}
    with _Shared(str(path)) as writer:
        # Not public, but the public `package_pt2` cannot be told to share weights among programs.
        _package._package_exported_programs(writer, programs)
        for name, text in metadata.items():
            writer.write_string(archive.EXTRA_DIR + name, text)


def load_pt2(path: Path, name: str) -> ExportedProgram:
    """Load the program of one signature; no other one is read.

    Raises:
        InputError: the file is not such an archive, does not hold the program, holds something pickled, or says what no
            program that bst writes does (`export.guards.archives`).
    """
    with _reading(path, name) as reader:
        return _program(reader, name)


def load_pt2_module(path: Path, name: str) -> Any:
    """The same, as what can be called.

    Raises:
        InputError: as `load_pt2`, or torch cannot make a module of the program.
    """
    with _reading(path, name) as reader:
        return _program(reader, name).module()


def load_pt2_weights(path: Path, name: str) -> dict[str, Tensor]:
    """Load the weights of the program of one signature, and nothing of the program.

    Raises:
        InputError: the file is not such an archive, does not hold them, or holds something pickled.
    """
    with _reading(path, name) as reader:
        weights = _package._load_state_dict(reader, name)
        assert isinstance(weights, dict)  # the bytes of a pickle `_Plain` refuses
        return weights


@contextmanager
def _reading(path: Path, name: str) -> Iterator[_Plain]:
    try:
        archives.require_plain(path)
        yield _Plain(str(path))
    except Exception as error:  # a spoilt program ends in any of them, as SyntaxError of what torch makes of it
        raise InputError(
            f"{path} does not load as a torch.export archive with {name!r} ({reason(error)}); export again"
        ) from None


def _program(reader: _Plain, name: str) -> ExportedProgram:
    wanted = [archive.MODELS_FILENAME_FORMAT.format(name)]
    return _package._load_exported_programs(reader, wanted, None)[name]


class _Shared(PT2ArchiveWriter):
    """Stores equal tensors once, and tells the configs that list them where they are."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.placed: dict[tuple[str, bytes], str] = {}
        self.names: dict[str, str] = {}  # of the program at hand: what torch calls a file -> what it is called here

    def write_bytes(self, name: str, data: bytes) -> None:
        prefix = next((one for one in SHARED if name.startswith(one)), None)
        if prefix is not None:
            key = (prefix, hashlib.sha256(data).digest())
            file = Path(prefix).name
            if key not in self.placed:
                self.placed[key] = f"{file}{len(self.placed)}"
                path = f"{Path(prefix).parent.as_posix()}/{self.placed[key]}"
                self.archive_file.write_record(path, _storage(data), len(data))
            self.names[Path(name).name] = self.placed[key]
            return
        if name.startswith(PAYLOADS) and name.endswith("_config.json"):
            config = json.loads(data)
            for entry in config["config"].values():
                entry["path_name"] = self.names.get(entry["path_name"], entry["path_name"])
            data = json.dumps(config).encode()
            self.names = {}
        super().write_bytes(name, data)


def _storage(data: bytes) -> Any:
    """Wrap bytes: handed over as they are, gigabytes are copied once more on the way."""
    if not data:
        return torch.empty(0, dtype=torch.uint8).untyped_storage()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.frombuffer(data, dtype=torch.uint8).untyped_storage()


class _Plain(PT2ArchiveReader):
    """Refuses what torch would unpickle, evaluate, import, or call beyond arithmetic; example inputs, which nobody
    needs, are not read."""

    def get_file_names(self) -> list[str]:
        names = super().get_file_names()
        # The layout of torch 2.7, which is pickle.
        pickled = [name for name in names if name.startswith(PAYLOADS) and name.endswith(".pt")]
        if pickled:
            raise ValueError(f"{pickled[0]} is pickled, which nothing that bst writes is")
        return names

    def read_bytes(self, name: str) -> bytes:
        if name.startswith(archive.SAMPLE_INPUTS_FILENAME_FORMAT.split("{}")[0]):
            return b""
        data = super().read_bytes(name)
        if name.startswith(archive.MODELS_DIR):
            return archives.plain_program(data)
        if name.endswith("_config.json"):
            archives.require_plain_payloads(data)
        return data

    def read_string(self, name: str) -> str:
        return self.read_bytes(name).decode()


def blocks_of_program(program: torch.export.ExportedProgram, inputs: Sequence[Tensor]) -> Blocks:
    """Run an exported program node by node and keep what the blocks gave."""
    module = program.module()
    scopes = [
        (node, [path for path, _ in node.meta.get("nn_module_stack", {}).values()]) for node in module.graph.nodes
    ]
    wanted = {node: name for name, node in boundaries(scopes, lambda node: node, lambda node: node.args[0])}
    found: dict[str, Array] = {}

    class Watcher(torch.fx.Interpreter):
        def run_node(self, node: torch.fx.Node) -> Any:
            value = super().run_node(node)
            if node in wanted:
                found[wanted[node]] = value.detach().numpy()
            return value

    with torch.inference_mode():
        Watcher(module).run(*inputs)
    return {name: found[name] for name in wanted.values()}
