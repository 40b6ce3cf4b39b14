"""Programs of torch.export from strangers: they are held to what bst writes, so that nothing but arithmetic is run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bst import InputError
from export.formats.pt2_archive import load_pt2, load_pt2_module
from tests.reliability.guards.strangers import change_json, rewrite_archive, trapped_pickle

SYSTEM = "torch.serialization.os.system"
TOUCH = "__import__('os').system('touch trapped')"


def _weights(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], tuple[str, bytes]]:
    def changed(name: str, data: bytes) -> tuple[str, bytes]:
        if name == "data/weights/all_scores_weights_config.json":
            return name, change_json(data, lambda values: change(next(iter(values["config"].values()))))
        return name, data

    return changed


def _constants(name: str, data: bytes) -> tuple[str, bytes]:
    """Point a constant to a pickle, as torch does for objects of a kind that it does not know."""
    if name == "data/constants/all_scores_constants_config.json":
        return name, change_json(
            data, lambda values: next(iter(values["config"].values())).update(path_name="opaque_obj_0")
        )
    if name == "data/sample_inputs/all_scores.pt":
        return "data/constants/opaque_obj_0", trapped_pickle()
    return name, data


def _program(old: bytes, new: bytes) -> Callable[[str, bytes], tuple[str, bytes]]:
    return lambda name, data: (name, data.replace(old, new) if name == "models/all_scores.json" else data)


def _size(text: str) -> Callable[[str, bytes], tuple[str, bytes]]:
    """Let all sizes that depend on `u0` be what `text` says."""
    return _program(b"Symbol('u0', integer=True)\"", json.dumps(text)[1:].encode())


def _signature(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], tuple[str, bytes]]:
    def first(values: dict[str, Any]) -> None:
        change(values["graph_module"]["module_call_graph"][0]["signature"])

    return lambda name, data: (name, change_json(data, first) if name == "models/all_scores.json" else data)


def _renamed(name: str, data: bytes) -> tuple[str, bytes]:
    """Call a parameter what fx would write into the source of its module."""
    code = f'a", 0) or {TOUCH} or getattr(self, "a'
    if name in ("models/all_scores.json", "data/weights/all_scores_weights_config.json"):
        return name, data.replace(b'"scorer.model.item_embedding.weight"', json.dumps(code).encode())
    return name, data


def _enum(context: dict[str, Any]) -> str:
    return json.dumps([1, {"type": "builtins.tuple", "context": json.dumps(context), "children_spec": []}])


PROGRAMS = {
    "weights in the layout of torch 2.7, which is a pickle": (
        lambda name, data: (
            ("data/weights/all_scores.pt", trapped_pickle())
            if name == "data/weights/all_scores_weights_config.json"
            else (name, data)
        ),
        "is pickled, which nothing that bst writes is",
    ),
    "weights that say they are pickled": (
        _weights(lambda entry: entry.update(use_pickle=True)),
        "is pickled, which nothing that bst writes is",
    ),
    "a constant of a kind that torch unpickles": (_constants, "opaque_obj_0 is pickled, which nothing that bst"),
    "a size that is evaluated": (
        _program(b"Symbol('", b"__import__('os').system('touch trapped') or Symbol('"),
        "as expr_str, which none that bst writes does",
    ),
    "a size in a text that is evaluated": (
        _size("Max('" + "".join(f"\\{ord(one):03o}" for one in TOUCH) + "', 1)"),
        "as expr_str, which none that bst writes does",
    ),
    "a size of a function that sizes do not have": (
        _size("sympify(Symbol('u0', integer=True))"),
        r"holds .sympify\(.* as expr_str, which none",
    ),
    "a size of a hundred million digits": (
        _size("Pow(Integer(10), Integer(99999999))"),
        r"holds .Pow\(.* as expr_str, which none",
    ),
    "a tree that imports a module": (
        _signature(
            lambda signature: signature.update(
                in_spec=_enum({"__enum__": True, "fqn": "ctypes:cdll", "name": "./x.so"})
            )
        ),
        "as in_spec, which none that bst writes does",
    ),
    "a tree of what torch imports by its name": (
        _signature(lambda signature: signature.update(out_spec=_enum({}).replace("tuple", "OrderedDict"))),
        "as out_spec, which none that bst writes does",
    ),
    "an argument that is code": (
        _signature(lambda signature: signature.update(forward_arg_names=[f"items={TOUCH}", "context=0"])),
        "as forward_arg_names, which none that bst writes does",
    ),
    "a parameter whose name is code": (_renamed, "as parameter_name, which none that bst writes does"),
    "a weight whose name is code": (
        lambda name, data: _renamed(name, data) if name.startswith("data") else (name, data),
        "as key, which none that bst writes does",
    ),
    "a node whose name is code": (
        _program(b'"name": "linear"', json.dumps({"name": f"a = {TOUCH}; a"})[1:-1].encode()),
        "as name, which none that bst writes does",
    ),
    "an operator that is a function of Python": (
        _program(b"torch.ops.aten.linear.default", SYSTEM.encode()),
        f"it calls '{SYSTEM}', which none that bst writes does",
    ),
    "an operator that writes a file": (
        _program(b"torch.ops.aten.linear.default", b"torch.ops.aten.save.default"),
        r"it calls 'torch\.ops\.aten\.save\.default'",
    ),
    "an operator that reads a file": (
        _program(b"torch.ops.aten.linear.default", b"torch.ops.aten.from_file.default"),
        r"it calls 'torch\.ops\.aten\.from_file\.default'",
    ),
    "a function of operator": (
        _program(b"torch.ops.aten.linear.default", b"_operator.methodcaller"),
        r"it calls '_operator\.methodcaller'",
    ),
}


@pytest.mark.parametrize("harm", PROGRAMS)
def test_a_torch_export_program_calls_arithmetic_or_is_refused(copied: Path, harm: str) -> None:
    change, message = PROGRAMS[harm]
    rewrite_archive(copied / "pt2" / "model.pt2", change)
    with pytest.raises(InputError, match=message):
        load_pt2_module(copied / "pt2" / "model.pt2", "all_scores")
    assert not Path("trapped").exists()


def test_notes_about_nodes_are_left_out_of_a_program(copied: Path) -> None:
    def note(values: dict[str, Any]) -> None:
        for node in values["graph_module"]["graph"]["nodes"]:
            node["metadata"].update(source_fn_stack=f"a,{SYSTEM}", custom='{"a": 1}', stack_trace="a\n" + TOUCH)

    rewrite_archive(
        copied / "pt2" / "model.pt2",
        lambda name, data: (name, change_json(data, note) if name == "models/all_scores.json" else data),
    )
    program = load_pt2(copied / "pt2" / "model.pt2", "all_scores")
    noted = {key for node in program.graph.nodes for key in node.meta}
    assert noted.isdisjoint({"source_fn_stack", "custom", "stack_trace", "torch_fn"})
    assert "nn_module_stack" in noted  # to say at which block two formats part


def test_a_program_that_torch_cannot_write_as_source_is_refused_in_a_line(copied: Path) -> None:
    change = _signature(lambda signature: signature.update(forward_arg_names=["lambda", "context"]))
    rewrite_archive(copied / "pt2" / "model.pt2", change)
    with pytest.raises(InputError, match=r"does not load as a torch\.export archive"):
        load_pt2_module(copied / "pt2" / "model.pt2", "all_scores")


def test_guards_of_a_torch_export_program_are_not_run(copied: Path) -> None:
    guard = "__import__('os').system('touch trapped') == 0"

    def add(name: str, data: bytes) -> tuple[str, bytes]:
        return name, (
            change_json(data, lambda values: values["guards_code"].append(guard))
            if name == "models/all_scores.json"
            else data
        )

    rewrite_archive(copied / "pt2" / "model.pt2", add)
    program = load_pt2(copied / "pt2" / "model.pt2", "all_scores")
    assert not program._guards_code
    program.module()(*(torch.ones(1, 2, dtype=torch.int64) for _ in range(2)))
    assert not Path("trapped").exists()
