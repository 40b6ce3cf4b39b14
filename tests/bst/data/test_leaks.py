from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bst import DataConfig, Dataset, InputError, read_interactions
from bst.data.leaks import agreement

RNG = np.random.default_rng(0)
USER = np.repeat(np.arange(200), 20)
ITEM = RNG.integers(0, 50, len(USER))
EVENTS = pl.DataFrame({"user_id": USER, "item_id": ITEM, "timestamp": np.arange(len(USER))})


def build(path: Path, context: tuple[str, ...], **columns: object) -> Dataset:
    EVENTS.with_columns(**{name: pl.Series(values) for name, values in columns.items()}).write_csv(path / "events.csv")
    return Dataset.build(read_interactions(path / "events.csv", DataConfig(context=context)))


def test_columns_of_the_item_are_refused_all_at_once(tmp_path: Path) -> None:
    noisy = np.where(RNG.random(len(USER)) < 0.03, RNG.integers(0, 5, len(USER)), ITEM % 5)
    with pytest.raises(
        InputError,
        match=r"genre \(100\.0 % of an item's events have the same value\), shelf \(9\d\.\d % .*belongs to the item",
    ):
        build(tmp_path, ("genre", "hour", "shelf"), genre=ITEM % 7, shelf=noisy, hour=RNG.integers(0, 24, len(USER)))


def test_a_column_that_is_nearly_always_the_same_is_not_taken_for_one_of_the_item(tmp_path: Path) -> None:
    build(tmp_path, ("device",), device=np.where(RNG.random(len(USER)) < 0.98, "phone", "desktop"))


def test_a_column_of_the_user_is_known_before_the_item_even_where_users_have_their_own_items(tmp_path: Path) -> None:
    own = EVENTS.with_columns(item_id=pl.Series(USER * 20 + ITEM % 20), gender=pl.Series(USER % 2))
    own.write_csv(tmp_path / "events.csv")
    dataset = Dataset.build(read_interactions(tmp_path / "events.csv", DataConfig(context=("gender",))))
    assert list(dataset.vocabularies.context) == ["gender"]


def test_agreement_is_that_of_pairs_of_events() -> None:
    events = pl.DataFrame({"item": [1, 1, 1, 2, 2, 3], "value": ["a", "a", "b", "c", "c", "b"]})
    found = agreement(events.lazy(), "item", "value")
    assert found.share == pytest.approx(3 / 5)  # of the other events of the item: 1/2, 1/2, 0, 1, 1
    assert found.kappa == pytest.approx((3 / 5 - 1 / 3) / (1 - 1 / 3))
    assert agreement(events.head(4).lazy(), "item", "value").share == 0  # three events are too few to tell
