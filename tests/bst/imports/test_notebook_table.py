"""Whoever knows the notebook finds everything in the table of docs/guides/notebook.md, and what it names is there."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bst import BST, BSTConfig
from bst.training.optimization import GradientClipper
from bst.training.trainer import Trainer
from tests.bst.imports.test_notebook import NOTEBOOK, needs_notebook
from tests.bst.training.test_trainer import small_trainer

TABLE = Path(__file__).parents[3] / "docs" / "guides" / "notebook.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TABLE.read_text().split("## Where everything went")[1].splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| notebook"))
]
# Attributes that only hold what they were given.
PLAIN = {"config", "n_heads", "dropout", "batch_fn", "ff"}


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def elements() -> Iterator[str]:
    """Every class, function, method, attribute and config key of the notebook's code."""
    for cell in re.findall(r"```python[^\n]*\n(.*?)```", NOTEBOOK.read_text(), flags=re.DOTALL):
        tree = ast.parse(cell.removeprefix("%%writefile config_sample.py\n"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield node.name
                yield from (one.name for one in node.body if isinstance(one, ast.FunctionDef) and one.name[0] != "_")
            elif isinstance(node, ast.FunctionDef) and node in tree.body:
                yield node.name
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield node.attr
            elif isinstance(node, ast.Subscript | ast.Dict):
                keys = [node.slice] if isinstance(node, ast.Subscript) else node.keys
                yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))


@needs_notebook
def test_everything_in_the_notebook_has_a_row() -> None:
    named = {part for row in ROWS for word in words(row[0]) for part in word.split(".")}
    found = set(elements())
    assert {"pad", "GradientClipping", "lnorm_1", "padding_idx", "init_method", "clip_value"} <= found
    assert found - PLAIN <= named, f"not in docs/guides/notebook.md: {sorted(found - PLAIN - named)}"


HERE = sorted({word for row in ROWS for word in words(row[1]) if word.startswith("bst.")})


def test_the_table_names_what_is_there() -> None:
    assert len(HERE) > 50
    made: dict[type, object] = {}
    for name in HERE:
        assert resolves(name, made), f"docs/guides/notebook.md names {name}, which is not there"


def test_a_name_that_is_not_there_is_noticed() -> None:
    assert not resolves("bst.model.BST.no_such_thing", {})
    assert not resolves("bst.config.TrainConfig.clip_value", {})
    assert not resolves("bst.training.optimization.clip", {})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: words(row[0])[0] if words(row[0]) else row[0])
def test_every_row_says_where_it_went(row: list[str]) -> None:
    assert len(row) == 3
    assert row[1]


def resolves(name: str, made: dict[type, object]) -> bool:
    """Follow a dotted name through modules, classes, fields, and what instances of them hold."""
    package, module, *path = name.split(".")
    try:
        thing: object = importlib.import_module(f"{package}.{module}")
    except ImportError:
        return False
    for part in path:
        if isinstance(thing, type) and not hasattr(thing, part):
            if part in getattr(thing, "model_fields", {}) or part in getattr(thing, "__dataclass_fields__", {}):
                return True
            thing = made.setdefault(thing, instance(thing))
        if not hasattr(thing, part):
            return False
        thing = getattr(thing, part)
    return True


def instance(kind: type) -> object:
    config = BSTConfig(num_items=3, dim=4, num_heads=1, head_widths=(4,), tied_output=False)
    torch.manual_seed(0)
    if kind is Trainer:
        return small_trainer(epochs=1)
    if kind is GradientClipper:
        return small_trainer(epochs=1).clipper
    return BST(config) if kind is BST else BST(config).cells[0] if kind.__name__ == "EncoderCell" else None
