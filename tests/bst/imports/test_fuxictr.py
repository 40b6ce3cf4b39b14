"""A model of FuxiCTR becomes a run with its logits, from the raw ids of its vocabularies."""

from __future__ import annotations

import json
import random
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from bst import load_run
from bst.imports import import_fuxictr
from tests.bst.imports.asking import logits
from tests.bst.imports.fuxi_folder import CATES, LENGTH, TEXT_ITEMS, Case, Other, write_folder
from tests.bst.imports.libraries import Dice

UNITS = {"units": [6, 5], "activations": [nn.ReLU, nn.ReLU], "names": "relu"}


def relu(_: int) -> nn.Module:
    return nn.ReLU()


CASES: dict[str, Case] = {
    "item alone, padding right": Case(),
    "padding left, causal, mean, BatchNorm": Case(
        {"padding": "pre", "causal": True, "pooling": "mean", "batch_norm": True, "blocks": 2, "context": ["city"]}
    ),
    "sum without positions, norm and residual, dice": Case(
        {
            **{"pooling": "sum", "positions": False, "norm": False, "residual": False, "names": "Dice"},
            **{"activations": [Dice, Dice], "fields": ["item", "cate", "kind"], "dropout": True},
        }
    ),
    "dice behind a BatchNorm, padding left": Case(
        {"names": "dice", "activations": [Dice, Dice], "batch_norm": True, "padding": "pre", "dropout": True}
    ),
    "prelu, then nothing": Case(
        {"names": ["PReLU", None], "activations": [lambda width: nn.PReLU(width, init=0.1), None], "norm": False}
    ),
    "numbers between features, a normaliser": Case(
        {"fields": ["item", "cate"], "numbers": ["price", "hour"], "context": ["city"], "normaliser": True}
    ),
    "columns that cross": Case({"fields": ["item", "cate", "kind"], "crossed": True, "context": ["city"]}),
    "tables of their own": Case({"fields": ["item", "cate"], "sequences_first": True}),
    "a doubled vocabulary": Case({"doubled": True, "fields": ["item", "cate"]}),
    "linear encoders": Case({"fields": ["item", "cate"], "encoders": True, "context": ["city"], "numbers": ["price"]}),
    "a second pair of items": Case({"others": [Other("skipped")]}),
    "three pairs, each its own fields, length and padding, tables of their own": Case(
        {
            **{"fields": ["item", "cate"], "context": ["city"], "numbers": ["price"], "batch_norm": True},
            "others": [
                Other("skipped", length=2 * LENGTH, padding="pre", own_tables=True),
                Other("bought", ("cate", "item"), length=2),
            ],
        }
    ),
    "a second pair with a field that the first lacks, causal, mean, two blocks": Case(
        {
            **{"causal": True, "pooling": "mean", "blocks": 2, "padding": "pre", "context": ["city"]},
            "others": [Other("skipped", ("item", "cate"), length=4)],
        }
    ),
    "a second pair beside features of events, sum, no positions, two blocks": Case(
        {
            **{"fields": ["item", "kind"], "pooling": "sum", "positions": False, "blocks": 2, "norm": False},
            **{"others": [Other("skipped")], "units": [5], "activations": [relu], "names": "relu"},
        }
    ),
    "a second pair of a doubled vocabulary and no hidden layer": Case(
        {"doubled": True, "units": [], "activations": [], "names": "relu", "others": [Other("skipped", padding="pre")]}
    ),
    "linear encoders of each pair": Case({"encoders": True, "context": ["city"], "others": [Other("skipped")]}),
    "no hidden layer": Case({"units": [], "activations": [], "names": "relu", "pooling": "mean"}),
}


def requests(case: Case, seed: int = 5) -> list[dict[str, Any]]:
    """Requests with histories of every length, unknown items in the middle and as candidates, unknown categories.

    Each length of the history is there beside an empty other sequence, a short, a full and a longer one.
    """
    draw = random.Random(seed)
    items, unknown = case.items, 999 if case.numeric else "no such item"
    rows = []
    others = case.settings["others"]
    for count, other in product(
        (0, 1, 3, LENGTH, LENGTH + 1, 2 * LENGTH), (0, 1, LENGTH, 3 * LENGTH)[: 4 if others else 1]
    ):
        history = [draw.choice([*items, unknown]) for _ in range(count)]
        rows.append(
            {
                "history": history,
                "kinds": [draw.choice(["view", "buy", "odd"]) for _ in history],
                "candidates": [*draw.sample(items, 3), unknown],
                "candidate_kinds": [draw.choice(["view", "buy", "odd"]) for _ in range(4)],
                "city": draw.choice(["Oslo", "Rome", "Atlantis"]),
                "price": 2.5,
                "hour": -0.75,
                **{own.name: [draw.choice([*items, unknown]) for _ in range(other)] for own in others},
            }
        )
    return rows


def expected(case: Case, model: Any, request: dict[str, Any]) -> Tensor:
    """Ask the library's arithmetic, as its user does: tokens, unknown ones in the last row, cut on the padded side."""
    count = len(request["candidates"])
    x: dict[str, Tensor] = {}
    for name, spec in model.features.items():
        if spec["type"] == "numeric":
            x[name] = torch.full((count,), case.scaled(name, request[name]), dtype=torch.float64)
        elif spec["type"] == "sequence":
            row = [case.row(name, value) for value in case.history_values(name, request)]
            length, side = case.padded(name)
            before = side == "pre"
            row = row[-length:] if before else row[:length]
            zeros = [0] * (length - len(row))
            x[name] = torch.tensor([zeros + row if before else row + zeros] * count)
        elif name in model.settings["targets"]:
            x[name] = torch.tensor([case.row(name, value) for value in case.candidate_values(name, request)])
        else:
            x[name] = torch.tensor([case.row(name, request[name])] * count)
    with torch.inference_mode():
        return model(x)


@pytest.mark.parametrize("name", CASES)
def test_an_imported_model_gives_the_logits_of_the_library(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    model = write_folder(tmp_path / "dir", case)
    normalisers = {"price": (1.5, 4.0)} if case.settings["normaliser"] else None
    import_fuxictr(tmp_path / "dir", tmp_path / "run", normalisers=normalisers)
    run = load_run(tmp_path / "run")
    assert run.vocabularies.items.dtype == ("int64" if case.numeric else "string")
    for request in requests(case):
        raw = {
            "history": {"item_history": request["history"], "kind_history": request["kinds"]},
            "sequences": {f"{own.name}_item": request[own.name] for own in case.settings["others"]},
            "context": {"city": request["city"]},
            "dense": {"price": request["price"], "hour": request["hour"]},
            "candidates": request["candidates"],
            "candidate_fields": {"kind": request["candidate_kinds"]},
        }
        wanted = expected(case, model, request)
        difference = (logits(run, raw) - wanted).abs().max()
        assert difference <= 5e-6 * max(1, wanted.abs().max()), request


def test_a_number_that_is_missing_is_what_the_library_reads_of_an_empty_field(tmp_path: Path) -> None:
    case = CASES["numbers between features, a normaliser"]
    write_folder(tmp_path / "dir", case)
    import_fuxictr(tmp_path / "dir", tmp_path / "run", normalisers={"price": (1.5, 4.0)})
    run = load_run(tmp_path / "run")
    request = {
        "history": {"item_history": case.items[:2]},
        "context": {"city": "Oslo"},
        "dense": {"price": 0.0, "hour": 1.0},
        "candidates": case.items[:3],
    }
    missing = {**request, "dense": {"price": float("nan"), "hour": 1.0}}
    assert torch.allclose(logits(run, request), logits(run, missing), atol=1e-6)


def test_a_mean_that_is_large_beside_its_deviation_loses_nothing(tmp_path: Path) -> None:
    case = CASES["numbers between features, a normaliser"]
    model = write_folder(tmp_path / "dir", case)
    import_fuxictr(tmp_path / "dir", tmp_path / "run", normalisers={"price": (1.6e9 + 63.0, 4096.0)})
    run = load_run(tmp_path / "run")
    (request,) = requests(case)[:1]
    raw = {
        "history": {"item_history": []},
        "context": {"city": request["city"]},
        "dense": {"price": 1.6e9 + 2.0 * 4096.0, "hour": -0.75},
        "candidates": request["candidates"],
    }
    normal = (2.0 * 4096.0 - 63.0) / 4096.0
    wanted = expected(case, model, {**request, "price": 1.5 + 4.0 * normal})  # the case has the normaliser 1.5:4
    assert (logits(run, raw) - wanted).abs().max() <= 1e-6 * max(1, wanted.abs().max())


def test_an_item_that_histories_alone_have_has_unknown_properties(tmp_path: Path) -> None:
    write_folder(tmp_path / "dir", CASES["tables of their own"])
    path = tmp_path / "dir" / "feature_vocab.json"
    vocabularies = json.loads(path.read_text())
    vocabularies["item_history"] = {name.replace("7", "8"): row for name, row in vocabularies["item_history"].items()}
    path.write_text(json.dumps(vocabularies))
    import_fuxictr(tmp_path / "dir", tmp_path / "run")
    run, tensors = load_run(tmp_path / "run"), torch.load(tmp_path / "dir" / "BST_best.model")
    row = run.model.item_embedding.weight[run.vocabularies.items.indices(["sku-8"])[0], 4:8] * run.model.dim**0.5
    assert torch.allclose(row, tensors["embedding_layer.embedding_layers.cate_history.weight"][4])


def test_the_item_need_not_be_the_first_of_the_target(tmp_path: Path) -> None:
    """Here the kind is, which is no property either, and has not as many ids as the properties have values."""
    write_folder(tmp_path / "dir", Case({"fields": ["kind", "item", "cate"]}))
    import_fuxictr(tmp_path / "dir", tmp_path / "run")
    run = load_run(tmp_path / "run")
    assert run.vocabularies.items.ids.to_list() == sorted(TEXT_ITEMS)
    assert list(run.vocabularies.events) == ["kind_history"]
    assert "| item | item | item_features.json |" in (tmp_path / "run" / "import.md").read_text()


@pytest.mark.parametrize(("dtype", "fill", "row"), [("int", {}, 3), ("int", {"fill_na": 5}, 1), ("str", {}, 4)])
def test_an_item_without_a_category_reads_what_the_library_fills_in(
    dtype: str, fill: dict[str, Any], row: int, tmp_path: Path
) -> None:
    write_folder(tmp_path / "dir", Case({"fields": ["item", "cate"]}))
    text = (tmp_path / "dir" / "feature_vocab.json").read_text()
    for old, new in zip(CATES, ("5", "7", "0"), strict=True):
        text = text.replace(json.dumps(old), f'"{new}"')
    (tmp_path / "dir" / "feature_vocab.json").write_text(text)
    (tmp_path / "dir" / "item_features.json").write_text(json.dumps({"cate": [None, 5, 7, 0, 5]}))
    config = yaml.safe_load((tmp_path / "dir" / "dataset_config.yaml").read_text())
    next(one for one in config["clicks"]["feature_cols"] if one["name"] == "cate").update({"dtype": dtype, **fill})
    (tmp_path / "dir" / "dataset_config.yaml").write_text(yaml.safe_dump(config))
    result = import_fuxictr(tmp_path / "dir", tmp_path / "run")
    run, tensors = load_run(tmp_path / "run"), torch.load(tmp_path / "dir" / "BST_best.model")
    first = int(run.vocabularies.items.indices(["sku-3"])[0])
    column = run.model.candidate_embedding.weight[first, 4:8] * run.model.dim**0.5
    assert torch.allclose(column, tensors["embedding_layer.embedding_layers.cate.weight"][row])
    assert any("A missing `cate` is" in line for line in result.lines) == (row != 4)
