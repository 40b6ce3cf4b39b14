"""Input that cannot be scored is one line that names the value and the remedy, and nothing is left half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bst import InputError
from export.batch import keys, score_users
from tests.conftest import Command, OnDemand, fill, refused
from tests.export.batch.shop import Here, opened, score_here, shards, shop, write_parts

Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def frame(bundle_path: Path) -> pl.DataFrame:
    return shop(opened(bundle_path))


CHANGES: dict[str, tuple[Change, str]] = {
    "twice": (lambda users: pl.concat([users, users[5:6]]), r"user \d+ stands more than once in column 'user_id' of"),
    "no key": (
        lambda users: users.with_columns(user_id=pl.col("user_id").replace(users["user_id"][3], None)),
        "row 3 has no user in column 'user_id'; drop such rows",
    ),
    "nested key": (lambda users: users.with_columns(user_id=pl.col("history")), "column 'user_id' of users holds List"),
    "empty": (lambda users: users[:0], "users holds no rows; give a row a user"),
    "no history": (
        lambda users: users.drop("history"),
        "there is no column 'history': name yours with --history; it has user_id",
    ),
    "no user": (lambda users: users.drop("user_id"), "no column 'user_id': name yours with --user-column"),
    "no feature": (lambda users: users.drop("gender"), "no column 'gender': add it, or say --unknown gender"),
    "text": (
        lambda users: users.with_columns(history=pl.col("history").cast(pl.List(pl.String))),
        r"column 'history' holds List\(String\), not lists of integers",
    ),
    "fractions": (
        lambda users: users.with_columns(history=pl.col("history").cast(pl.List(pl.Float64))),
        r"column 'history' holds List\(Float64\), not lists of integers",
    ),
    "no list": (lambda users: users.with_columns(history=pl.lit(7)), "column 'history' holds Int32, not lists of"),
    "another feature": (lambda users: users.with_columns(gender=pl.lit(7)), "column 'gender' holds Int32, not text"),
    "beyond": (
        lambda users: users.with_columns(history=pl.lit([2**63], dtype=pl.List(pl.UInt64))),
        "column 'history' holds ids beyond 64 bits",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_users_that_cannot_be_scored_are_refused(
    name: str, frame: pl.DataFrame, bundle_path: Path, tmp_path: Path
) -> None:
    change, told = CHANGES[name]
    with pytest.raises(InputError, match=told):
        score_here(bundle_path, write_parts(tmp_path / "users", change(frame)), tmp_path / "out")
    assert not shards(tmp_path / "out")


def test_a_user_that_stands_in_two_files_is_found_in_passes(
    frame: pl.DataFrame, bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "PASS", 7)
    users = write_parts(tmp_path / "users", pl.concat([frame, frame[5:6]]))
    with pytest.raises(InputError, match=r"stands more than once .*part-0.parquet, .*part-2.parquet; keep one row"):
        score_here(bundle_path, users, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    score_here(bundle_path, write_parts(tmp_path / "once", frame), tmp_path / "out")


def test_files_with_keys_of_two_types_are_refused(frame: pl.DataFrame, bundle_path: Path, tmp_path: Path) -> None:
    users = write_parts(tmp_path / "users", frame)
    frame[:1].cast({"user_id": pl.String}).write_parquet(users / "part-9.parquet")
    with pytest.raises(InputError, match=r"part-9.parquet: column 'user_id' holds String, and Int64 in .*part-0"):
        score_here(bundle_path, users, tmp_path / "out")


def test_empty_files_among_others_are_passed_over(frame: pl.DataFrame, bundle_path: Path, tmp_path: Path) -> None:
    users = write_parts(tmp_path / "users", frame)
    frame[:0].write_parquet(users / "part-1.5.parquet")
    assert len(score_here(bundle_path, users, tmp_path / "out")) == len(frame)
    assert len(shards(tmp_path / "out")) == 3


def test_lists_of_different_lengths_are_refused_with_the_row(variants: OnDemand, tmp_path: Path) -> None:
    users = shop(opened(variants["text_ids"])).with_columns(kind=pl.lit(["view"], dtype=pl.List(pl.String)))
    with pytest.raises(InputError, match=r"column 'kind' has 1 values in row 0, and column 'history' \d+; give one"):
        score_here(variants["text_ids"], write_parts(tmp_path / "users", users), tmp_path / "out")


def test_more_excluded_ids_than_the_bundle_can_make_up_for_are_refused_before_any_work(
    frame: pl.DataFrame, bundle_path: Path, tmp_path: Path
) -> None:
    users = write_parts(tmp_path / "users", frame.with_columns(never=pl.lit([11, 18])))
    with pytest.raises(InputError, match=r"--k 5 beside 2 excluded ids of a user \(column 'never'\) takes 7 items"):
        score_here(bundle_path, users, tmp_path / "out", exclude="never")
    assert not (tmp_path / "out").exists()
    assert len(score_here(bundle_path, users, tmp_path / "out", exclude="never", k=3)) == len(frame)
    none = write_parts(tmp_path / "none", frame.with_columns(never=pl.lit([], dtype=pl.List(pl.Int64))))
    assert len(score_here(bundle_path, none, tmp_path / "all", exclude="never", k=5)) == len(frame)


@pytest.mark.parametrize(
    ("variant", "settings", "told"),
    [
        ("raw_ids", {"k": 6}, "--k 6: this bundle gives 1 to 5; export with a larger --k"),
        ("raw_ids", {"unknown": ("shoe_size",)}, "--unknown shoe_size: no feature of the model; known: gender, region"),
        ("clicks", {}, "this bundle is a click model, .* name their column with --candidates"),
        ("onnx_top_k", {"candidates": "c"}, "signature 'score_candidates' is not in the bundle"),
        ("script_top_k", {}, "format 'onnx' is not in the bundle; it holds torchscript"),
    ],
)
def test_what_the_bundle_cannot_do_is_refused(
    variant: str, settings: dict[str, object], told: str, variants: OnDemand, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told):
        score_here(variants[variant], tmp_path, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_an_engine_that_is_not_installed_names_its_extra(bundle_path: Path, tmp_path: Path) -> None:
    with (
        Here(extra="no_such_module") as engine,
        pytest.raises(InputError, match=r"--engine here needs .*: pip install 'bst-recommender\[no_such_module\]'"),
    ):
        score_users(bundle_path, tmp_path, tmp_path / "out", engine=engine)


def test_a_full_disk_keeps_what_was_finished(
    frame: pl.DataFrame, bundle_path: Path, small_disk: Path, tmp_path: Path
) -> None:
    users = write_parts(tmp_path / "users", frame)

    def filling(function: object, units: list[object], workers: int) -> object:
        yield function(units[0])  # type: ignore[operator]
        fill(small_disk / "full")
        yield function(units[1])  # type: ignore[operator]

    out = small_disk / "out"
    with Here(filling) as engine, pytest.raises(OSError, match=r"No space left on device.*part-00001-"):
        score_users(bundle_path, users, out, engine=engine)
    assert len(shards(out)) == 1
    assert not list(out.rglob("*.partial-*"))
    (small_disk / "full").unlink()
    score_here(bundle_path, users, out, resume=True)
    score_here(bundle_path, users, tmp_path / "here")
    assert shards(out) == shards(tmp_path / "here")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("give a bundle, users (or --from-events) and --out",)),
        (("events.csv",), ("give a bundle, users", "bst score BUNDLE users/ --out recs/")),
        (("USERS", "--engine", "spark"), ("engine 'spark' is not known; known: local, ray",)),
        (("USERS", "--as-of", "7"), ("--as-of 7 is of --from-events",)),
        (("--from-events", "events.csv"), ("--from-events events.csv needs a time",)),
        (("USERS", "--candidates", "history"), ("column 'history' is named twice",)),
        (("USERS", "--user-column", "scores"), ("column 'scores' of users is a column of the output",)),
        (("NEW",), ("NEW is not a file; give the path of a table",)),
    ],
)
def test_the_command_refuses_in_one_line(
    arguments: tuple[str, ...], words: tuple[str, ...], bundle_path: Path, bst_command: Command, tmp_path: Path
) -> None:
    out = () if arguments in ((), ("events.csv",)) else ("--out", tmp_path / "out")
    refused(bst_command("score", *([bundle_path] if arguments else []), *arguments, *out), *words)
    assert not (tmp_path / "out").exists()


def test_a_table_of_text_is_refused_with_the_way_out(bundle_path: Path, bst_command: Command, tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text("user_id,history\n1,2\n")
    told = bst_command("score", bundle_path, tmp_path / "users.csv", "--out", tmp_path / "out")
    refused(told, "users.csv is text; write it as Parquet, or give events with --from-events")
