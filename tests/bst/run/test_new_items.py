"""New items of a trained model are scored by their features; for all others nothing changes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import torch

from bst import DataConfig, Dataset, InputError, Run, Settings, TrainConfig, load_run, read_interactions, train
from bst.run.folder import save_run
from bst.run.growth.new_items import add_items
from tests.conftest import TINY, write_events

DATA = DataConfig(item_features=("brand", "tags"), value_separator="|")
TABLE = "item_id,brand,tags\n" + "".join(f"{7 * item + 11},b{item % 4},t{item % 3}|u{item % 2}\n" for item in range(38))
NEW = "item_id,brand,tags\n11,b3,\n12,b1,t1|t2|u0\n13,,\n14,unheard of,\n10000,b2,t9\n"


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def run_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("featured")
    (folder / "items.csv").write_text(TABLE)
    dataset = Dataset.build(read_interactions(write_events(folder / "events.csv"), DATA))
    dataset = dataset.with_items(folder / "items.csv", DATA)
    model = TINY.model_copy(update={"tied_output": request.param})
    train(dataset, Settings(model=model, training=TrainConfig(epochs=1, batch_events=150), data=DATA), folder / "run")
    return folder / "run"


@pytest.fixture
def run(run_path: Path) -> Run:
    return load_run(run_path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "new.csv").write_text(NEW)
    return tmp_path / "new.csv"


def scores(run: Run, history: list[int], wanted: list[int]) -> torch.Tensor:
    known = run.vocabularies.items
    items = torch.from_numpy(known.indices(history))[None]
    with torch.inference_mode():
        return run.model(items, torch.zeros(1, 0, dtype=torch.int64))[0, torch.from_numpy(known.indices(wanted))]


def test_a_run_keeps_the_features_of_its_items(run: Run, run_path: Path) -> None:
    assert [(one.name, one.num_categories, one.num_values) for one in run.config.model.item_features] == [
        ("brand", 4, 1),
        ("tags", 5, 2),
    ]
    assert run.config.model.id_dropout == 0.1  # there are few events
    assert run.model.item_features is not None
    values = run.model.item_features.get_buffer("values_0")[:, 0]
    assert values[1:39].tolist() == [1 + item % 4 for item in range(38)]
    assert values[39:].tolist() == [0, 0]  # of which the table says nothing


def test_items_that_were_known_are_scored_as_before(run: Run, table: Path) -> None:
    grown, _ = add_items(run, table, run.config.data)
    known = run.vocabularies.items.ids.to_list()
    here, there = (scores(one, known[5:12], known) for one in (run, grown))
    assert torch.allclose(here, there, atol=1e-6)


def test_a_new_item_is_scored_by_its_features(run: Run, table: Path) -> None:
    grown, remarks = add_items(run, table, run.config.data)
    assert grown.vocabularies.items.ids.to_list()[:4] == [11, 12, 18, 25]
    assert grown.epochs == run.epochs
    assert (run.quality is None, grown.quality) == (False, None)  # which was among fewer items
    assert (remarks[0], remarks[2]) == (
        "2 new items are scored by brand, tags",
        "2 others are left out: the run knows none of their features",
    )
    plain = grown.folded().model
    twin = 12, 11 + 7  # both of brand b1
    vectors = plain.item_vectors(torch.from_numpy(grown.vocabularies.items.indices(twin)))
    features = grown.model.item_features
    assert features is not None
    assert torch.allclose(vectors[0], features(torch.from_numpy(grown.vocabularies.items.indices([12])))[0])
    assert scores(grown, [11, 18], [12, 10_000]).isfinite().all()
    assert scores(grown, [12], [11]) != scores(grown, [10_000], [11])


def test_the_grown_run_is_a_run_as_any_other(run: Run, table: Path, tmp_path: Path) -> None:
    grown, _ = add_items(run, table, run.config.data)
    save_run(tmp_path / "grown", grown)
    again = load_run(tmp_path / "grown")
    assert again.config.model.num_items == run.config.model.num_items + 2
    assert again.heldout.test is not None
    assert run.heldout.test is not None
    here, there = (
        one.vocabularies.items.raw(one.heldout.test.sequences.items)  # type: ignore[union-attr]
        for one in (run, again)
    )
    assert here.tolist() == there.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item_id,brand,tags\n11,b1,\n", "has no item that the run does not know; there is nothing to add"),
        ("item_id,brand,tags\n12,new,\n", "of no new item, such as 12, a feature is known to the run"),
        ("item_id,brand\n12,b1\n", "has no column 'tags' for --item-features"),
        ("item_id,brand,tags\nx,b1,\n", "has items such as 'x', and the run knows numbers such as 11"),
    ],
)
def test_a_table_without_new_items_is_refused(run: Run, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        add_items(run, tmp_path / "new.csv", run.config.data)


def test_a_run_without_item_features_has_nothing_to_score_new_items_by(run: Run, table: Path) -> None:
    with pytest.raises(InputError, match="the run has no item features, by which new items could be scored"):
        add_items(run.folded(), table, run.config.data)


def test_settings_and_table_must_agree(tmp_path: Path) -> None:
    dataset = Dataset.build(read_interactions(write_events(tmp_path / "events.csv"), DATA))
    with pytest.raises(InputError, match="want item features brand, tags, and the items of this table have none"):
        train(dataset, Settings(model=TINY, data=DATA), tmp_path / "run")


def test_features_tell_what_ids_cannot(tmp_path: Path) -> None:
    """Items of one brand follow each other; items that were never trained on are ranked by their brand alone."""
    rows = [
        {"user_id": user, "item_id": 20 * (user % 3) + (user * 7 + step * 3) % 20, "timestamp": step}
        for user in range(150)
        for step in range(8)
    ]
    pl.DataFrame(rows).filter(pl.col("item_id") % 20 < 18).write_csv(tmp_path / "events.csv")
    brands = pl.DataFrame({"item_id": range(60), "brand": [f"b{item // 20}" for item in range(60)]})
    brands.write_csv(tmp_path / "items.csv")
    data = DataConfig(item_features=("brand",))
    dataset = Dataset.build(read_interactions(tmp_path / "events.csv", data)).with_items(tmp_path / "items.csv", data)
    settings = Settings(model=TINY, training=TrainConfig(epochs=12, batch_events=40, learning_rate=1e-2), data=data)
    train(dataset, settings, tmp_path / "run")
    grown, _ = add_items(load_run(tmp_path / "run"), tmp_path / "items.csv", data)
    new = [18, 19, 38, 39, 58, 59]
    for brand in range(3):
        found = scores(grown, [20 * brand + 1, 20 * brand + 4], new)
        assert set(found.topk(2).indices.tolist()) == {2 * brand, 2 * brand + 1}
