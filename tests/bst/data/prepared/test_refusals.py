"""Prepared data that was altered, and tables that cannot be prepared: one line each, and nothing left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bst import InputError, read_interactions
from bst.config import DataConfig
from bst.data.prepared import open_prepared, prepare
from tests.bst.data.prepared.test_prepare import rows
from tests.conftest import Command


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    rows().write_csv(folder / "table.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bst.data.sequences.SHARD_EVENTS", 200)
        prepare([folder / "table.csv"], DataConfig(context=("hour",), split_at="1600050000"), folder / "data")
    return folder / "data"


def flip_a_bit_at(place: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "items.npy",
            flip_a_bit_at(130),
            r"items\.npy is not as `bst prepare` wrote it, in shard 0 \(users 0 to \d+\)",
        ),
        ("items.npy", flip_a_bit_at(-5), r"items\.npy is not as .* in shard 3"),
        ("event_time.npy", flip_a_bit_at(3000), r"event_time\.npy is not as .* in shard 1"),
        ("context.npy", flip_a_bit_at(129), r"context\.npy is not as .* in shard 0"),
        ("offsets.npy", flip_a_bit_at(130), r"offsets\.npy is not as .* in shard 0"),
        ("before.npy", flip_a_bit_at(130), r"before\.npy is not as .* in shard 0"),
        ("items.npy", lambda content: content[:-4], r"items\.npy has \d+,\d+ bytes, and its array \d,\d+"),
        ("items.npy", lambda content: b"", r"items\.npy cannot be read as an array"),
        ("items.npy", lambda content: content.replace(b"<i4", b"<f4"), r"items\.npy holds float32 \[900\], not int32"),
        ("vocabulary.json", lambda content: content.replace(b"40", b"41"), r"vocabulary\.json is not as"),
        ("prepared.json", lambda content: content[:-9], r"is not prepared data .* prepared\.json is not JSON"),
        (
            "prepared.json",
            lambda content: content.replace(b'version": 1', b'version": 2'),
            r"schema_version 2, and this",
        ),
    ],
)
def test_an_altered_file_is_refused_and_the_shard_is_named(
    whole: Path, tmp_path: Path, name: str, change: Callable[[bytes], bytes], message: str
) -> None:
    shutil.copytree(whole, tmp_path / "data")
    path = tmp_path / "data" / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=message):
        open_prepared(tmp_path / "data")


def test_a_missing_shard_or_file_is_refused(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "data")
    manifest = json.loads((tmp_path / "data" / "prepared.json").read_text())
    manifest["shards"].pop(1)
    (tmp_path / "data" / "prepared.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="shard 1 does not follow the one before"):
        open_prepared(tmp_path / "data")
    (tmp_path / "data" / "before.npy").unlink()
    with pytest.raises(InputError, match=r"before\.npy cannot be read as an array"):
        open_prepared(tmp_path / "data")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": "clicked"}, "--label clicked is not for prepared data: a log of impressions is split by the times"),
        ({"min_count": 500}, r"--min-count 500 leaves none of 900 events, \d+ users, 8 items; give a lower number"),
        ({"context": ("color",)}, "no column 'color' for an input"),
        ({"split_at": "tomorrow"}, "--split-at 'tomorrow' is no time as in the table"),
        ({"where": ("kind=x",)}, "no row has 'x' in column 'kind'"),
    ],
)
def test_a_table_that_cannot_be_prepared_leaves_nothing(
    settings: dict[str, object], message: str, tmp_path: Path
) -> None:
    rows().write_csv(tmp_path / "table.csv")
    with pytest.raises(InputError, match=message):
        prepare([tmp_path / "table.csv"], DataConfig(**settings), tmp_path / "data")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("user_id,gender\n1,f\n1,m\n", "user 1 stands there more than once"),
        ("user_id,gender\n1001,f\n", "none of its users, such as 1001, is a user of the events, such as 1; give a"),
        ("user_id,gender\n1,\n", "context feature 'gender' has no value for any user"),
        ("user_id,gender\n", r"users\.csv holds no rows below its header"),
        ("who,gender\n1,f\n", r"users\.csv has no column 'user_id' of users; it has who, gender"),
    ],
)
def test_a_users_table_that_does_not_fit_leaves_nothing_and_is_refused_as_from_the_table(
    content: str, message: str, tmp_path: Path
) -> None:
    rows().write_csv(tmp_path / "table.csv")
    (tmp_path / "users.csv").write_text(content)
    config = DataConfig(context=("gender",))
    for read in (
        lambda: prepare([tmp_path / "table.csv"], config, tmp_path / "data", tmp_path / "users.csv"),
        lambda: read_interactions(tmp_path / "table.csv", config, tmp_path / "users.csv"),
    ):
        with pytest.raises(InputError, match=message):
            read()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "users.csv"]


def test_a_column_that_belongs_to_the_item_is_refused_as_context(tmp_path: Path) -> None:
    rows().with_columns(brand=pl.col("item_id") % 3).write_csv(tmp_path / "table.csv")
    with pytest.raises(InputError, match=r"context feature brand .* belongs to the item"):
        prepare([tmp_path / "table.csv"], DataConfig(context=("brand",)), tmp_path / "data")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("train", "DATA", "--out", "NEW", "--user-column", "who"),
            "was prepared with user_column='user_id', not 'who'",
        ),
        (("train", "DATA", "--out", "NEW", "--users", "USERS"), "is of a table, and"),
        (("train", "DATA", "--out", "NEW", "--label", "clicked"), "was prepared with label=None, not 'clicked'"),
        (("prepare", "TABLE", "--out", "DATA"), "exists; give another --out or remove it first"),
        (("prepare", "NEW", "--out", "OTHER"), "is not a file; give the path of a table"),
        (("evaluate", "RUN", "DATA"), "is prepared data, which has no raw events; give bst evaluate the table itself"),
    ],
)
def test_prepared_data_and_tables_are_told_apart(
    words: tuple[str, ...], message: str, whole: Path, tmp_path: Path, bst_command: Command
) -> None:
    places = {"DATA": whole, "TABLE": whole.parent / "table.csv"}
    places |= {name: tmp_path / name for name in ("NEW", "OTHER", "RUN", "USERS")}
    code, _, stderr = bst_command(*(places.get(word, word) for word in words))
    assert code == 2
    assert message in stderr
    assert len(stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
