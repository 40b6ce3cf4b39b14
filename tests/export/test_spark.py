"""The function for Spark, without Spark: batches of Arrow go in and come out. `test_clusters.py` has Spark itself."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import export.batch.shards
from bst import InputError
from export.spark import SparkScorer, scorer
from tests.conftest import OnDemand
from tests.export.batch.shop import opened, score_here, shop, write_parts

pyarrow = pytest.importorskip("pyarrow")


def mapped(function: SparkScorer, users: pl.DataFrame) -> pl.DataFrame:
    batches = users.to_arrow().to_batches(max_chunksize=7)
    return pl.DataFrame(pl.from_arrow(pyarrow.Table.from_batches(function(iter(batches)))))


class Key:
    """A Spark DataFrame as far as `schema` looks at it."""

    def __init__(self, name: str, dtype: str) -> None:
        self.schema = {name: self}
        self.dataType = self
        self.dtype = dtype

    def simpleString(self) -> str:  # noqa: N802  Spark's own name
        return self.dtype


LISTS = "item_ids array<{}>, scores array<float>"
NAMES = {"int64": "bigint", "string": "string", "float": "float", "int32": "int"}  # Arrow's, and Spark's


@pytest.mark.parametrize(
    ("variant", "chosen", "lists"),
    [
        ("raw_ids", {}, LISTS.format("bigint")),
        ("text_ids", {"k": 3}, LISTS.format("string")),
        ("clicks", {"candidates": "candidates"}, f"{LISTS.format('bigint')}, probabilities array<float>"),
    ],
)
def test_batches_are_answered_as_files_are(
    variant: str, chosen: dict[str, Any], lists: str, variants: OnDemand, tmp_path: Path
) -> None:
    users = shop(opened(variants[variant]))
    function: SparkScorer = pickle.loads(pickle.dumps(scorer(variants[variant], **chosen)))
    scores = mapped(function, users)
    expected = score_here(variants[variant], write_parts(tmp_path / "users", users), tmp_path / "out", **chosen)
    assert scores["item_ids"].to_list() == expected["item_ids"].to_list()
    assert scores["unknown_ids"].to_list() == expected["unknown_ids"].to_list()
    schema = function.schema(Key("user_id", "bigint"))
    assert schema == f"`user_id` bigint, {lists}, unknown_ids int"
    batch = next(function(iter(users.to_arrow().to_batches())))
    for field, part in zip(batch.schema, schema.split(", "), strict=True):
        element = NAMES[str(getattr(field.type, "value_type", field.type))]
        assert part.split()[1] == (f"array<{element}>" if pyarrow.types.is_list(field.type) else element)


def test_a_session_is_opened_once_for_all_batches(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens: list[Any] = []
    plain = export.batch.shards.open_bundle
    monkeypatch.setattr(export.batch.shards, "open_bundle", lambda path: opens.append(path) or plain(path))
    copied = shutil.copytree(bundle_path, tmp_path / "bundle")
    assert len(mapped(scorer(copied), shop(opened(copied)))) == 40
    assert len(opens) == 1


def test_a_bundle_that_was_refreshed_and_a_missing_column_are_refused(bundle_path: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(bundle_path, tmp_path / "bundle")
    users, function = shop(opened(copied)), scorer(copied)
    with pytest.raises(InputError, match="the DataFrame of users: there is no column 'gender': add it"):
        mapped(function, users.drop("gender"))
    manifest = copied / "manifest.json"
    manifest.write_text(manifest.read_text().replace("{", "{ ", 1))
    with pytest.raises(InputError, match="was refreshed since the scoring began"):
        mapped(SparkScorer(copied, "0" * 64, function.settings, "bigint", False), users)


@pytest.mark.parametrize(
    ("chosen", "told"), [({"k": 0}, "the settings of scorer: k=0"), ({"k": 6}, "--k 6: this bundle gives 1 to 5")]
)
def test_settings_that_the_bundle_cannot_do_are_refused_in_the_driver(
    chosen: dict[str, Any], told: str, bundle_path: Path
) -> None:
    with pytest.raises(InputError, match=told):
        scorer(bundle_path, **chosen)
