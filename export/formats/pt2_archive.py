"""`torch.export` programs (`.pt2`), successor of TorchScript: all signatures in one archive over one set of weights.

Content that torch's own reader would unpickle, evaluate as Python, import, or call beyond arithmetic, is refused or
ignored here. Importing this module loads torch's compiler, which takes a second: import it where it is needed.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.pt2_archive import PT2ArchiveWriter, _package
from torch.export.pt2_archive import constants as archive

from bst.errors import CheckError
from export import guards
from export.contract.inputs import Array
from export.contract.signatures import Signature
from export.guards.program_reader import PlainReader
from export.serving.blocks import Blocks, boundaries
from export.serving.scorer import ServedModel

# Sizes above 1 and different from one another, so that none is taken for another or for a constant.
EXAMPLE_SIZES = {"batch": 3, "length": 5, "n": 7}
IDLE = {
    *("aten._assert_tensor_metadata.default", "aten._assert_scalar.default", "aten.dropout.default"),
    "aten.sym_constrain_range_for_size.default",
}
PAYLOADS = (archive.WEIGHTS_DIR, archive.CONSTANTS_DIR)
SHARED = (
    archive.WEIGHTS_DIR + archive.WEIGHT_FILENAME_PREFIX,
    archive.CONSTANTS_DIR + archive.TENSOR_CONSTANT_FILENAME_PREFIX,
)


def export_program(model: ServedModel, signature: Signature) -> ExportedProgram:
    """Trace `signature` of `model`, which must be in evaluation mode; inputs are positional tensors.

    Raises:
        CheckError: an axis that is dynamic in the signature came out static.
    """

    program = ServedModel(model.scorer, None, model.config)
    for name, child in model.named_children():
        program.add_module(name, child)
    program.forward = program.method(signature)
    dynamic_axes = dict.fromkeys(axis for spec in signature.inputs for axis in spec.shape if isinstance(axis, str))
    others = (axis for axis in dynamic_axes if axis not in EXAMPLE_SIZES)
    sizes = EXAMPLE_SIZES | {axis: size for size, axis in enumerate(others, start=max(EXAMPLE_SIZES.values()) + 1)}
    axes = {name: torch.export.Dim(name, min=1) for name in sizes}
    example = tuple(
        torch.ones(
            [sizes[axis] if isinstance(axis, str) else axis for axis in spec.shape],
            dtype=torch.float32 if spec.dtype == "float32" else torch.int64,
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
        node.meta.pop("stack_trace", None)  # it has paths of the exporting machine
    check_program(exported, signature)
    return exported


def check_program(program: ExportedProgram, signature: Signature) -> None:
    """Check the axes of the program's inputs.

    Raises:
        CheckError: one is static that should be dynamic, or the other way round, or does not begin at 1.
    """
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    for spec, name in zip(signature.inputs, program.graph_signature.user_inputs, strict=True):
        for place, (axis, size) in enumerate(zip(spec.shape, values[name].shape, strict=True)):
            if isinstance(axis, str):
                held = isinstance(size, torch.SymInt) and program.range_constraints[size.node.expr]
                right = held and held.lower == 1 and held.upper > 2**31
            else:
                right = not isinstance(size, torch.SymInt) and axis == size
            if not right:
                raise CheckError(f"pt2, {signature.name}: axis {place} of {spec.name} is {size}, not {axis}")


def save_pt2(model: ServedModel, signatures: tuple[Signature, ...], path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write one archive with a program a signature, under its name; equal weights are stored once.

    Raises:
        CheckError: as `export_program`.
    """
    programs = {signature.name: export_program(model, signature) for signature in signatures}
    with _Shared(str(path)) as writer:
        # Not public, but the public `package_pt2` cannot share weights among programs.
        _package._package_exported_programs(writer, programs)
        for name, text in metadata.items():
            writer.write_string(archive.EXTRA_DIR + name, text)


def load_pt2(path: Path, name: str) -> ExportedProgram:
    """Load the program of one signature; no other one is read.

    Raises:
        InputError: the file is not such an archive, does not hold the program, holds something pickled, or something
            that bst would not write (`export.guards`).
    """
    return guards.load(path, guards.PROGRAM, partial(_program, name=name), name)


def load_pt2_module(path: Path, name: str) -> Any:
    """Load it likewise as a callable without checks: dtypes and shapes of its inputs must fit.

    torch's own checks, in Python at each call, take longer than a small model; a session has checked its inputs before.

    Raises:
        InputError: as `load_pt2`, or torch cannot make a module of the program.
    """
    return guards.load(path, guards.PROGRAM, lambda file: _lean(_program(file, name).module(check_guards=False)), name)


def _lean(module: Any) -> Any:
    """Remove nodes of a graph that compute nothing: asserts, and dropout, which does nothing outside of training."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and str(node.target) in IDLE:
            if node.users:
                node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module.forward


def _program(file: str, name: str) -> ExportedProgram:
    names = [archive.MODELS_FILENAME_FORMAT.format(name)]
    return _package._load_exported_programs(PlainReader(file), names, None)[name]


class _Shared(PT2ArchiveWriter):
    """A store of tensors, equal ones of different programs once, that updates the configs which list them.

    Not those of one program: torch reads a file of a program once, with one dtype, and zeros of two dtypes are equal.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.placed: dict[tuple[str, bytes, int], str] = {}
        self.repeats: Counter[bytes] = Counter()  # of contents in the current program
        self.names: dict[str, str] = {}  # of the current program: torch's name of a file -> its name here

    def write_bytes(self, name: str, data: bytes) -> None:
        prefix = next((shared for shared in SHARED if name.startswith(shared)), None)
        if prefix is not None:
            content = hashlib.sha256(data).digest()
            key = (prefix, content, self.repeats[content])
            self.repeats[content] += 1
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
            self.repeats.clear()
        super().write_bytes(name, data)


def _storage(data: bytes) -> Any:
    """Wrap bytes as a storage; bytes handed over directly would be copied, gigabytes of them."""
    if not data:
        return torch.empty(0, dtype=torch.uint8).untyped_storage()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.frombuffer(data, dtype=torch.uint8).untyped_storage()


def blocks_of_program(
    program: torch.export.ExportedProgram, inputs: Sequence[Tensor], *, of_candidates: bool = False
) -> Blocks:
    """Run an exported program node by node and collect the outputs of the blocks; see `boundaries`."""
    module = program.module()
    scopes = [
        (node, [path for path, _ in node.meta.get("nn_module_stack", {}).values()]) for node in module.graph.nodes
    ]
    found_blocks = boundaries(scopes, lambda node: node, lambda node: node.args[0], of_candidates=of_candidates)
    block_names = {node: name for name, node in found_blocks}
    values: dict[str, Array] = {}

    class Watcher(torch.fx.Interpreter):
        def run_node(self, node: torch.fx.Node) -> Any:
            value = super().run_node(node)
            if node in block_names:
                values[block_names[node]] = value.detach().numpy()
            return value

    with torch.inference_mode():
        Watcher(module).run(*inputs)
    return {name: values[name] for name in block_names.values()}
