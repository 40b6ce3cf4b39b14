"""Metrics beside their baselines, and what gives a target away."""

import json
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bst import (
    Architecture,
    DataConfig,
    Dataset,
    RankingMetrics,
    Settings,
    TrainConfig,
    load_run,
    read_interactions,
    train,
)
from bst.training.metrics import filter_by
from tests.conftest import Command

SMALL = Architecture(dim=16, num_heads=2, num_blocks=1, ff_width=16, max_length=20, head_widths=(16,))


def build(path: Path, **columns: object) -> Dataset:
    """Write a table and read it; columns besides those of the events are context."""
    pl.DataFrame(columns).write_parquet(path / "events.parquet")
    context = tuple(name for name in columns if name not in ("user_id", "item_id", "timestamp"))
    return Dataset.build(read_interactions(path / "events.parquet", DataConfig(context=context)))


@pytest.mark.parametrize("filter_seen", [False, True])
def test_no_filter_lets_users_of_twelve_own_items_be_guessed_better_than_one_in_twelve(
    tmp_path: Path, filter_seen: bool
) -> None:
    users, own, events = 300, 12, 60
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(users), events)
    item = user * own + rng.integers(0, own, len(user))
    dataset = build(tmp_path, user_id=user, item_id=item, timestamp=np.arange(len(user)))
    places = dataset.baselines.places(dataset.split.test, filter_seen=filter_seen)["markov"]
    metrics = RankingMetrics.from_places(places)
    assert metrics.hr[10] > 0.2  # among those that ever followed the last one; a filter would leave the target alone
    assert metrics.hr[1] < 1 / own + 3 * np.sqrt(1 / own / users)  # three standard errors
    assert filter_by(None, dataset.split.validation)[0] is False


def test_the_run_keeps_the_test_with_its_baselines(run_path: Path) -> None:
    run = load_run(run_path)
    assert [line["epoch"] for line in run.epochs] == [1]
    quality = run.quality
    assert quality is not None
    assert quality["filter_seen"] is run.config.training.filter_seen is False  # items return in random events
    assert quality["rule"] == "the last event of each user"
    assert quality["model"]["num_users"] == quality["popularity"]["num_users"] == quality["markov"]["num_users"] == 60


def test_context_that_names_the_item_is_a_warning_with_the_number(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    user = np.repeat(np.arange(150), 12)
    item = rng.integers(0, 300, len(user))
    hint = np.where(rng.random(len(user)) < 0.5, item // 6, rng.integers(0, 50, len(user)))
    dataset = build(
        tmp_path,
        user_id=user,
        item_id=item,
        timestamp=np.arange(len(user)),
        aisle=hint,
        hour=rng.integers(0, 24, len(user)),
    )
    with pytest.warns(UserWarning, match=r"'aisle' alone has \d+\.\d % of the targets .* popularity \d\.\d %") as found:
        dataset.baselines.warn_of_telling_context(("aisle", "hour"), ("aisle", "hour"))
    assert len(found) == 1  # the hour tells nothing


def test_context_of_users_that_tells_little_is_no_warning(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    user = np.repeat(np.arange(150), 12)
    dataset = build(
        tmp_path, user_id=user, item_id=rng.integers(0, 300, len(user)), timestamp=np.arange(len(user)), age=user % 7
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.baselines.warn_of_telling_context(("age",), ("age",))


def test_items_that_training_never_saw_are_counted(tmp_path: Path) -> None:
    dataset = build(tmp_path, user_id=[1, 1, 1, 2, 2, 2], item_id=[1, 2, 9, 2, 1, 1], timestamp=[1, 2, 3, 1, 2, 3])
    assert dataset.baselines.unseen(dataset.split.test) == 0.5


def test_places_of_every_user_go_to_a_file(
    bst_command: Command, run_path: Path, tables: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "places.parquet"
    code, out, _ = bst_command(
        "evaluate", run_path, tables[0], "--users", tables[1], "--k", "3,20", "--places", path, "--json"
    )
    assert code == 0
    places = pl.read_parquet(path)
    assert places.columns == ["split", "user", "target", "place", "popularity", "markov"]
    test = places.filter(pl.col("split") == "test")
    found = json.loads(out)["test"]
    for name, column in (("model", "place"), ("popularity", "popularity"), ("markov", "markov")):
        assert found[name]["hr_3"] == pytest.approx((test[column] <= 3).mean())
        assert found[name]["hr_20"] == pytest.approx((test[column] <= 20).mean())
    last = pl.read_csv(tables[0]).sort("user_id", "timestamp").group_by("user_id", maintain_order=True).last()
    assert test.select("user", "target").rows() == last.select("user_id", "item_id").rows()


def test_a_few_users_can_decide_which_epoch_is_best(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    user = np.repeat(np.arange(40), 6)
    dataset = build(tmp_path, user_id=user, item_id=rng.integers(0, 30, len(user)), timestamp=np.arange(len(user)))
    settings = Settings(model=SMALL, training=TrainConfig(epochs=1, validation_users=7))
    result = train(dataset, settings, tmp_path / "run")
    assert (result.validation.num_users, result.test.model.num_users) == (7, 40)


def test_a_run_is_evaluated_at_a_time(bst_command: Command, run_path: Path, tables: tuple[Path, Path]) -> None:
    code, out, err = bst_command(
        "evaluate", run_path, tables[0], "--users", tables[1], "--split-at", "400", "--keep-seen"
    )
    assert code == 0
    assert "to be predicted: the first event of each user from 400 on" in out
    assert "nothing is left out of the rankings" in out
    assert err == ("warning: --split-at 400 is not how the run was split: the targets here may have been trained on\n")


def test_values_that_the_run_does_not_know_are_counted_aloud(
    bst_command: Command, run_path: Path, tables: tuple[Path, Path], tmp_path: Path
) -> None:
    users = tmp_path / "users.csv"
    users.write_text(tables[1].read_text().replace(",M,", ",X,"))
    code, out, _ = bst_command("evaluate", run_path, tables[0], "--users", users)
    assert code == 0
    assert "gender: 24 values such as 'X' are not known to the run" in out
