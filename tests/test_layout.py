"""The parts depend on one another in one direction, and each public name is there."""

import ast
import importlib
import os
import subprocess
import sys

import pytest

from tools import house

ROOT = house.ROOT
NOT_FOR_BST = {"onnx", "onnxruntime", "onnxscript", "onnx_ir"}
# Names that say how a value came, not what it is. `seen` is not among them: it is a word of the domain (seen items).
EMPTY_NAMES = {
    *("asked", "found", "given", "got", "known", "made", "one", "ones"),
    *("said", "stated", "taken", "told", "tried", "wanted"),
}
OPENERS_OF_QUESTIONS = ("what", "how", "which", "who", "where", "when", "whether", "why", "does", "is", "are", "from")
SIZES = {  # at most so many: files a folder, lines a file, lines a function, copied lines
    "bst": (12, 330, 60, 0),
    "export": (12, 330, 60, 0),
    "bench": (12, 330, 60, 0),
    "clients": (14, 200, 0, 0),
    "tests": (12, 430, 60, 12),
}


def imported_by(package: str) -> set[str]:
    paths = [path for path in house.sources(package) if path.suffix == ".py"]
    return {
        name.split(".")[0]
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom) and node.module
            else []
        )
    }


def test_no_room_imports_from_a_higher_floor() -> None:
    assert house.arrows_up() == []


def test_no_two_files_import_one_another() -> None:
    assert house.circles() == []


def test_every_folder_and_file_of_the_packages_stands_on_a_floor() -> None:
    assert house.unplaced() == []


@pytest.mark.parametrize("part", SIZES)
def test_folders_files_and_functions_stay_small_and_nothing_is_copied(part: str) -> None:
    paths = house.sources(part)
    most = (
        max(house.files_a_folder(paths).values()),
        max(len(house.lines_of(path)) for path in paths),
        max((lines for lines, _ in house.functions([path for path in paths if path.suffix == ".py"])), default=0),
        sum(house.copied_lines(paths).values()),
    )
    assert all(size <= bound for size, bound in zip(most, SIZES[part], strict=True)), (most, SIZES[part])


@pytest.mark.parametrize("package", house.PACKAGES)
def test_every_folder_says_its_noun_and_exports_what_it_has(package: str) -> None:
    for path in (ROOT / package).rglob("__init__.py"):
        name = path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        module = importlib.import_module(name)
        assert module.__doc__, name
        assert len(module.__doc__.splitlines()) == 1, name
        assert all(hasattr(module, public) for public in getattr(module, "__all__", ())), name


def test_the_docstring_of_every_module_opens_with_a_noun_phrase() -> None:
    openings = {
        path.relative_to(ROOT).as_posix(): (ast.get_docstring(ast.parse(path.read_text())) or "").split(maxsplit=1)
        for path in house.sources(*house.PACKAGES, "tools")
        if path.suffix == ".py"
    }
    assert [path for path, words in openings.items() if not words] == []
    assert [path for path, words in openings.items() if words[0].lower() in OPENERS_OF_QUESTIONS] == []


def test_every_local_and_parameter_is_named_for_its_content() -> None:
    bound = [
        (path.relative_to(ROOT).as_posix(), node.lineno, node.arg if isinstance(node, ast.arg) else node.id)
        for path in house.sources(*house.PACKAGES, "tools")
        if path.suffix == ".py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    ]
    assert [place for place in bound if place[-1] in EMPTY_NAMES] == []


def test_training_needs_no_onnx() -> None:
    assert not imported_by("bst") & NOT_FOR_BST


def test_torch_jit_is_touched_in_one_file_and_where_it_must_do_without_this_package() -> None:
    touching = {
        path.name
        for package in house.PACKAGES
        for path in (ROOT / package).glob("**/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "jit"
    }
    assert touching == {"torchscript_archive.py", "cold_start.py"}


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
