"""A model of torch-rechub becomes a run with its logits, and what cannot become one is refused by name."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bst import load_run
from bst.errors import InputError
from bst.imports import describe, import_torch_rechub
from tests.bst.imports.asking import logits
from tests.bst.imports.libraries import Dense, Rechub, RowDice, Sparse, randomised

ITEMS = [103, 7, 55, 21, 90, 12, 300, 44]
CATES = ["shoes", "hats", "sonnenschirme", "帽子"]
KINDS = ["view", "buy", "cart"]
CITIES = ["Oslo", "Rome", "Lima"]
LENGTH = 6
PROPERTY = {item: CATES[place % 3] for place, item in enumerate(ITEMS)}
RAW = {"item": ITEMS, "cate": CATES, "kind": KINDS, "city": CITIES}
ITEM, CATE, KIND = Sparse("item", 9, 4), Sparse("cate", 5, 4), Sparse("kind", 4, 4)
HIST_ITEM, HIST_CATE, HIST_KIND = (Sparse(f"hist_{name}", 0, 4, shared_with=name) for name in ("item", "cate", "kind"))
CITY = Sparse("city", 4, 3)
MODELS: dict[str, tuple[list[Sparse], list[Sparse], list[Sparse | Dense], dict[str, Any]]] = {
    "item alone, numbers alone": ([HIST_ITEM], [ITEM], [Dense("price")], {"heads": 1}),
    "numbers between features": (
        [HIST_ITEM, HIST_CATE],
        [ITEM, CATE],
        [Dense("price"), CITY, Dense("hour")],
        {"blocks": 2, "activation": nn.LeakyReLU},
    ),
    "prelu, an event feature": ([HIST_ITEM, HIST_KIND], [ITEM, KIND], [CITY], {"activation": nn.PReLU, "heads": 4}),
    "dice": ([HIST_ITEM], [ITEM], [CITY], {"activation": RowDice}),
    "sigmoid": ([HIST_ITEM], [ITEM], [CITY], {"activation": nn.Sigmoid}),
    "softmax": ([HIST_ITEM], [ITEM], [CITY], {"activation": lambda: nn.Softmax(dim=1)}),
    "no hidden layer": ([HIST_ITEM], [ITEM], [CITY], {"widths": ()}),
    "columns that cross": ([HIST_CATE, HIST_ITEM, HIST_KIND], [KIND, ITEM, CATE], [CITY], {"heads": 3}),
    "targets among the features": (
        [HIST_ITEM, HIST_CATE, HIST_KIND],
        [ITEM, CATE, KIND],
        [KIND, Dense("price"), ITEM, Sparse("city", 4, 4), CATE],
        {},
    ),
    "tables of their own": ([Sparse("seen", 9, 4), Sparse("seen_cate", 5, 4)], [ITEM, CATE], [CITY], {}),
    "crossing tables of their own": ([Sparse("seen_cate", 5, 4), Sparse("seen", 9, 4)], [ITEM, CATE], [CITY], {}),
    "another number of fields": ([Sparse("seen", 9, 8)], [ITEM, CATE], [CITY], {}),
    "a field of events alone": ([HIST_ITEM, HIST_KIND], [Sparse("item", 9, 8)], [CITY], {"wide": 4}),
}
OWN = {"seen": list(reversed(ITEMS)), "seen_cate": [*CATES[1:], CATES[0]]}


def features_of(name: str) -> tuple[list[Sparse], list[Sparse], list[Sparse | Dense]]:
    history, target, features, changes = MODELS[name]
    if "wide" in changes:  # the history shares a table that is wider than it, so it has one of its own
        history = [Sparse("seen", 9, 4), Sparse("hist_kind", 4, 4)]
    return history, target, features


def make(name: str, folder: Path, padding: Any = "post", **changes: Any) -> Rechub:
    """Write the folder of a model by `describe`."""
    history, target, features = features_of(name)
    options = {key: value for key, value in MODELS[name][3].items() if key != "wide"}
    model: Rechub = randomised(Rechub(history, target, features, **options))
    owners = [one for one in (*history, *target, *features) if isinstance(one, Sparse) and one.shared_with is None]
    lists = {**RAW, **OWN, "hist_kind": KINDS}
    targets = {feature.name for feature in target}
    describe(
        model.float(),
        folder,
        vocabularies={one.name: lists[one.name] for one in owners},
        length=LENGTH,
        padding=padding,
        item_id="item",
        item_features={"cate": list(PROPERTY.values())} if "cate" in targets else None,
        **changes,
    )
    model.double()
    return model


def index(feature: Sparse, value: Any) -> int:
    owner = feature.shared_with or feature.name
    return {**RAW, **OWN, "hist_kind": KINDS}[owner].index(value) + 1


def value_of(feature: Sparse, item: int, kind: str) -> Any:
    """The raw value of a field of an event or candidate."""
    name = feature.name
    return kind if "kind" in name else PROPERTY[item] if "cate" in name else item


def requests(seed: int = 3) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    rows = []
    for count in (0, 1, 3, LENGTH - 1, LENGTH, LENGTH + 1, 2 * LENGTH):
        events = [(draw.choice(ITEMS), draw.choice(KINDS)) for _ in range(count)]
        candidates = [(draw.choice(ITEMS), draw.choice(KINDS)) for _ in range(4)]
        rows.append(
            {"events": events, "candidates": candidates, "city": draw.choice(CITIES), "price": 1.5, "hour": -0.25}
        )
    return rows


def expected(model: Rechub, request: dict[str, Any], padding: str) -> Tensor:
    """Ask the library's arithmetic, as its user does: indices, padded to the length, the newest events kept."""
    events = request["events"][-LENGTH:]
    x: dict[str, Tensor] = {}
    for feature in model.history_features:
        row = [index(feature, value_of(feature, *event)) for event in events]
        zeros = [0] * (LENGTH - len(row))
        row = zeros + row if padding == "pre" else row + zeros
        x[feature.name] = torch.tensor([row] * len(request["candidates"]))
    for feature in model.target_features:
        x[feature.name] = torch.tensor([index(feature, value_of(feature, *one)) for one in request["candidates"]])
    for one in (one for one in model.features if one.name not in x):
        value = index(one, request[one.name]) if isinstance(one, Sparse) else request[one.name]
        x[one.name] = torch.tensor([value] * len(request["candidates"]))
    with torch.inference_mode():
        return model({name: values.double() if values.is_floating_point() else values for name, values in x.items()})


def raw_request(model: Rechub, request: dict[str, Any]) -> dict[str, Any]:
    items = next(one for one in model.history_features if "item" in one.name or one.name == "seen")
    others = [one for one in model.history_features if one is not items]
    return {
        "history": {one.name: [value_of(one, *event) for event in request["events"]] for one in (items, *others)},
        "context": {"city": request["city"]},
        "dense": {"price": request["price"], "hour": request["hour"]},
        "candidates": [item for item, _ in request["candidates"]],
        "candidate_fields": {"kind": [kind for _, kind in request["candidates"]]},
    }


SIDES = [(name, ("pre", "post")[place % 2]) for place, name in enumerate(MODELS)] + [("columns that cross", "pre")]


@pytest.mark.parametrize(("name", "padding"), SIDES)
def test_an_imported_model_gives_the_logits_of_the_library(name: str, padding: str, tmp_path: Path) -> None:
    model = make(name, tmp_path / "dir", padding)
    import_torch_rechub(tmp_path / "dir", tmp_path / "run")
    run = load_run(tmp_path / "run")
    for request in requests():
        wanted = expected(model, request, padding)
        difference = (logits(run, raw_request(model, request)) - wanted).abs().max()
        assert difference <= 5e-6 * max(1, wanted.abs().max()), request


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a model with every kind of field."""
    make("numbers between features", tmp_path / "dir")
    return tmp_path / "dir"


def refused(folder: Path, message: str) -> None:
    with pytest.raises(InputError, match=message):
        import_torch_rechub(folder, folder.parent / "run")
    assert not (folder.parent / "run").exists()


def test_names_that_several_gpus_leave_are_read(folder: Path) -> None:
    tensors = torch.load(folder / "model.pth")
    torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, folder / "model.pth")
    import_torch_rechub(folder, folder.parent / "run")
    assert "`module.`" in (folder.parent / "run" / "import.md").read_text()


def test_the_report_names_every_tensor_once_and_every_decision(folder: Path) -> None:
    result = import_torch_rechub(folder, folder.parent / "run")
    page = (folder.parent / "run" / "import.md").read_text()
    for name in torch.load(folder / "model.pth"):
        assert page.partition("## Tensors")[2].count(f"| {name} |") == 1
    for sentence in (
        "on the right to length 6",
        "no rule for unknown ids",
        "the newest 6 events",
        "`cate` is a",
    ):
        assert sentence in page
        assert sentence in " ".join(result.lines)


@pytest.mark.parametrize("flat", [False, True])
def test_the_forms_of_older_versions_are_told_apart_and_refused(folder: Path, flat: bool) -> None:
    tensors = torch.load(folder / "model.pth")
    cells = {name: tensor for name, tensor in tensors.items() if name.startswith("transformer_layers.layers.0.")}
    tensors |= {name.replace("transformer_layers.layers.0", "encoder_layer"): cells[name] for name in cells}
    del tensors["pos_embedding.weight"]
    if flat:
        tensors["mlp.mlp.0.weight"] = torch.zeros(6, 54 * 8 + 17)
    torch.save(tensors, folder / "model.pth")
    (folder / "description.json").unlink()  # whose lack is not the reason
    refused(folder, "0.5 or earlier, whose attention runs" if flat else "0.6 or 0.7, which has no positions")


def described(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "description.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


DESCRIBED: dict[str, Callable[[dict[str, Any]], object]] = {
    "3 heads do not divide the width 8": lambda values: values.update(num_heads=3),
    r"length=11, and 11 rows of positions": lambda values: values.update(length=11),
    "mlp_activation='': String should have at least 1": lambda values: values.update(mlp_activation=""),
    "padding='left': Input should be 'pre' or 'post'": lambda values: values.update(padding="left"),
    "length is missing": lambda values: values.pop("length"),
    "there is no setting 'pooling'": lambda values: values.update(pooling="mean"),
    "item_id='hist_item' is no target feature": lambda values: values.update(item_id="hist_item"),
    "padding_idx=3 of hist_item": lambda values: values["padding_idx"].update(hist_item=3),
    r"attention is 8 wide, and the fields together 4": lambda values: values["history"].pop(),
    r"mlp.mlp.0.weight is \[6, 21\], and \[any, 20\] fits": lambda values: values["dense"].pop(),
    "the activation 'elu' of the head cannot be carried": lambda values: values.update(mlp_activation="elu"),
    "followed by prelu, and the file has no weights of it": lambda values: values.update(mlp_activation="prelu"),
    "names no vocabulary of city": lambda values: values["vocabularies"].pop("city"),
    "'../city.json' of city is no name of a file": lambda values: values["vocabularies"].update(city="../city.json"),
    "the vocabulary none.json of city is missing": lambda values: values["vocabularies"].update(city="none.json"),
    "names the feature city twice": lambda values: values["context"].append("city"),
    "names the feature hist_item twice": lambda values: values["context"].append(["hist_item", "item"]),
    "names the feature cate twice": lambda values: values["context"].append(["cate", "item"]),
    "names the feature item twice": lambda values: values["dense"].append("item"),
    "embedding.embed_dict.town.weight is missing": lambda values: values["context"].append("town"),
    "embed_dict.city.weight are no part of the model": lambda values: values["context"].clear(),
}


@pytest.mark.parametrize("message", DESCRIBED)
def test_a_description_that_does_not_fit_is_refused(folder: Path, message: str) -> None:
    described(folder, DESCRIBED[message])
    refused(folder, message)


WEIGHTS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    r"mlp.mlp.9.(weight|running_mean), .* are no part of the model": lambda tensors: tensors.update(
        {name.replace("mlp.mlp.5", "mlp.mlp.9"): tensors[name][:1] for name in list(tensors) if "mlp.mlp.5.r" in name}
    ),
    "pos_embedding.weight is missing; ": lambda tensors: tensors.pop("pos_embedding.weight"),
    "extra.weight are no part of the model": lambda tensors: tensors.update({"extra.weight": torch.zeros(2)}),
    "linear1.bias holds NaN or inf": lambda tensors: tensors["transformer_layers.layers.0.linear1.bias"].fill_(
        torch.nan
    ),
    "pos_embedding.weight is torch.float16, not float32": lambda tensors: tensors.update(
        {"pos_embedding.weight": tensors["pos_embedding.weight"].half()}
    ),
    r"norm1.weight is \[3\], and \[8\] fits": lambda tensors: tensors.update(
        {"transformer_layers.layers.1.norm1.weight": torch.zeros(3)}
    ),
    r"transformer_layers.layers.0 and following are missing: there are 1": lambda tensors: [
        tensors.pop(name) for name in list(tensors) if "layers.0." in name
    ],
}


@pytest.mark.parametrize("message", WEIGHTS)
def test_weights_that_do_not_fit_are_refused(folder: Path, message: str) -> None:
    tensors = torch.load(folder / "model.pth")
    WEIGHTS[message](tensors)
    torch.save(tensors, folder / "model.pth")
    refused(folder, re.sub("; $", "", message))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["Oslo", "Rome"], "has 2 ids, and its table has 4 rows"),
        (["Oslo", "Rome", 3], "mixes numbers and text, such as 3"),
        (["Oslo", "Rome", "Oslo"], "has 'Oslo' twice"),
        ([1.0, 2, 1], "has 1 twice"),
        (["Oslo", "Rome", 1.5], "has 1.5, which is neither text nor a whole number"),
        ([1, 2, 2**63], "neither text nor a whole number of 64 bits"),
        ({"Oslo": 1}, "is no list of raw ids"),
        (["Oslo", "\ud800", "Lima"], r"is not JSON \('utf-8' codec can't encode"),
        (["Oslo", "Oslo \U0001f600", "Oslo"], "has 'Oslo' twice"),
        (["", None, None], "has no ids that a request can name"),
    ],
)
def test_a_vocabulary_that_does_not_fit_its_table_is_refused(folder: Path, ids: object, message: str) -> None:
    file = json.loads((folder / "description.json").read_text())["vocabularies"]["city"]
    (folder / file).write_text(json.dumps(ids))
    refused(folder, message)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"cate": ["shoes"]}, "has 1 values of cate for 8 items"),
        ({"cate": ["boots"] * 8}, "8 values of cate that are not in its vocabulary, such as 'boots'"),
        ({"item": ITEMS}, "has 'item', which is no target field besides the item"),
        ({"city": [1] * 8}, "has 'city', which is no target field"),
        ({"cate": [1.5] * 8}, "has 1.5 as cate of 103; give text"),
        ([], "is no table of lists by target field"),
    ],
)
def test_properties_of_items_that_do_not_fit_are_refused(folder: Path, features: object, message: str) -> None:
    (folder / "item_features.json").write_text(json.dumps(features))
    refused(folder, message)


def test_a_row_without_an_id_is_null(folder: Path) -> None:
    file = json.loads((folder / "description.json").read_text())["vocabularies"]["city"]
    (folder / file).write_text(json.dumps(["Oslo", None, "Lima"]))
    import_torch_rechub(folder, folder.parent / "run")
    assert load_run(folder.parent / "run").vocabularies.context["city"].ids.to_list() == ["Lima", "Oslo"]


def test_a_category_that_is_the_empty_text_is_another_row_than_none(folder: Path) -> None:
    vocabularies = json.loads((folder / "description.json").read_text())["vocabularies"]
    (folder / vocabularies["cate"]).write_text(json.dumps(["shoes", "", "hats", "帽子"]))
    (folder / vocabularies["city"]).write_text(json.dumps(["Oslo", "", "Lima"]))
    (folder / "item_features.json").write_text(json.dumps({"cate": ["", None, *["hats"] * 6]}))
    import_torch_rechub(folder, folder.parent / "run")
    run, tensors = load_run(folder.parent / "run"), torch.load(folder / "model.pth")
    rows = run.model.item_embedding.weight[run.vocabularies.items.indices(ITEMS[:3]), 4:] * run.model.dim**0.5
    assert torch.allclose(rows, tensors["embedding.embed_dict.cate.weight"][[2, 0, 3]])
    cities = run.model.context_embeddings[0].weight  # all that a request cannot name reads the row of the empty text
    assert run.vocabularies.context["city"].ids.to_list() == ["Lima", "Oslo"]
    assert torch.equal(cities, tensors["embedding.embed_dict.city.weight"][[2, 3, 1]])
    assert "The empty text is an id of `city`" in (folder.parent / "run" / "import.md").read_text()


def test_an_item_that_is_the_empty_text_is_left_out(folder: Path) -> None:
    file = json.loads((folder / "description.json").read_text())["vocabularies"]["item"]
    (folder / file).write_text(json.dumps(["", *map(str, ITEMS[1:])]))
    import_torch_rechub(folder, folder.parent / "run")
    assert load_run(folder.parent / "run").vocabularies.items.ids.to_list() == sorted(map(str, ITEMS[1:]))


def test_without_properties_a_category_is_asked_for_with_events_and_candidates(folder: Path) -> None:
    (folder / "item_features.json").unlink()
    result = import_torch_rechub(folder, folder.parent / "run")
    sentence = "`hist_cate` is asked for with each event, and with each candidate as `cate`"
    assert any(sentence in line for line in result.lines)
    assert [one.name for one in load_run(folder.parent / "run").config.model.candidate_features] == ["cate"]


@pytest.mark.parametrize("file", ["model.pth", "description.json"])
def test_a_file_that_is_missing_is_named_with_what_to_do(folder: Path, file: str) -> None:
    (folder / file).unlink()
    refused(folder, rf"has no {file}.*(put there|write it with bst.imports.describe)")


def test_a_name_that_no_input_can_have_is_changed_and_told(tmp_path: Path) -> None:
    make("item alone, numbers alone", tmp_path / "dir")
    described(tmp_path / "dir", lambda values: values.update(dense=["unit-price"]))
    result = import_torch_rechub(tmp_path / "dir", tmp_path / "run")
    assert any("`unit-price` is called `unit_price`" in line for line in result.lines)


def test_describe_takes_tables_by_id_floats_that_are_whole_and_numbers_of_numpy(tmp_path: Path) -> None:
    model = Rechub([HIST_ITEM, HIST_CATE], [ITEM, CATE], [CITY])
    cates = {"hats": 3, "shoes": 1, "boots": 4}
    describe(
        model,
        tmp_path / "dir",
        vocabularies={"item": [np.int64(one) for one in ITEMS], "cate": cates, "city": np.array([3.0, 7.0, np.nan])},
        length=6,
        padding="pre",
        item_features={"cate": dict.fromkeys(ITEMS[1:], "hats")},
    )
    lists = [json.loads((tmp_path / "dir" / f"vocabulary_{place}.json").read_text()) for place in range(3)]
    assert lists == [ITEMS, ["shoes", None, "hats", "boots"], [3, 7, None]]
    assert json.loads((tmp_path / "dir" / "item_features.json").read_text()) == {"cate": [None, *["hats"] * 7]}
    import_torch_rechub(tmp_path / "dir", tmp_path / "run")


def test_describe_refuses_what_cannot_be_imported_and_writes_nothing(tmp_path: Path) -> None:
    model = Rechub([HIST_ITEM], [ITEM], [CITY])
    with pytest.raises(InputError, match=r"city has 2 ids, and its table 4 rows.*vocabularies has town"):
        describe(
            model,
            tmp_path / "dir",
            vocabularies={"item": ITEMS, "city": ["a", "b"], "town": []},
            length=6,
            padding="pre",
        )
    with pytest.raises(InputError, match=r"city has the indices 0 to 2 for 3 ids;.*; item_id='items' is no target"):
        describe(
            model,
            tmp_path / "dir",
            vocabularies={"item": ITEMS, "city": {"a": 0, "b": 1, "c": 2}},
            length=6,
            padding="pre",
            item_id="items",
        )
    with pytest.raises(InputError, match="no pos_embedding: it is no BST of torch-rechub"):
        describe(nn.Linear(1, 1), tmp_path / "dir", vocabularies={}, length=6, padding="pre")
    assert not (tmp_path / "dir").exists()


def test_a_pickle_is_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Booby:
        def __reduce__(self) -> tuple[Any, ...]:
            return (shutil.rmtree, (str(folder),))

    torch.save({"pos_embedding.weight": Booby()}, folder / "model.pth")
    refused(folder, "cannot be loaded as plain tensors")
    assert (folder / "model.pth").exists()
