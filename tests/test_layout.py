"""The parts depend on one another in one direction, and each public name is there."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {"bst": {"bst"}, "export": {"bst", "export"}, "bench": {"bst", "export", "bench"}}
NOT_FOR_BST = {"onnx", "onnxruntime", "onnxscript", "onnx_ir"}


def imported_by(package: str) -> set[str]:
    names: set[str] = set()
    for path in (ROOT / package).glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package: str) -> None:
    assert imported_by(package) & set(MAY_IMPORT) <= MAY_IMPORT[package]


def test_training_needs_no_onnx() -> None:
    assert not imported_by("bst") & NOT_FOR_BST


def test_torch_jit_is_touched_in_one_file_and_where_it_must_do_without_this_package() -> None:
    touching = {
        path.name
        for package in MAY_IMPORT
        for path in (ROOT / package).glob("**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "jit"
    }
    assert touching == {"torchscript.py", "cold_start.py"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_every_public_name_exists(package: str) -> None:
    module = importlib.import_module(package)
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize(("given", "found"), [(None, "1"), pytest.param("0", "0", marks=pytest.mark.slow)])
def test_onnx_runtime_does_not_report_unless_its_user_wants_that(given: str | None, found: str) -> None:
    """The variable must be there when the library is loaded, so it is set before."""
    program = """if True:
        import os, sys, export
        assert "onnxruntime" in sys.modules
        print(os.environ["ORT_DISABLE_TELEMETRY"])"""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    if given is not None:
        environment["ORT_DISABLE_TELEMETRY"] = given
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{found}\n"
    source = (ROOT / "export" / "__init__.py").read_text()
    assert source.index("ORT_DISABLE_TELEMETRY") < source.index("from export")
