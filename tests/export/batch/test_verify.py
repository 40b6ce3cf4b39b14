"""`bst score --verify` finds what is wrong with an output."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from bst import CheckError, InputError
from export.batch import verify_scores
from export.batch.plan import MANIFEST_FILE, SUCCESS
from tests.conftest import OnDemand
from tests.export.batch.shop import opened, score_here, shop, write_parts


@pytest.fixture
def out(bundle_path: Path, tmp_path: Path) -> Path:
    users = write_parts(tmp_path / "users", shop(opened(bundle_path)))
    score_here(bundle_path, users, tmp_path / "out", unit_rows=9)
    return tmp_path / "out"


@pytest.mark.parametrize("variant", ["text_ids", "clicks"])
def test_an_output_that_is_right_is_verified(variant: str, variants: OnDemand, tmp_path: Path) -> None:
    users = write_parts(tmp_path / "users", shop(opened(variants[variant])))
    chosen = {"candidates": "candidates"} if variant == "clicks" else {}
    score_here(variants[variant], users, tmp_path / "out", **chosen)
    verified = verify_scores(tmp_path / "out")
    assert (verified.shards, verified.rows, verified.replayed, verified.notes) == (3, 40, 40, ())
    assert verified.max_error is not None
    assert verified.max_error < 1e-5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (pl.col("scores").list.eval(pl.element() * 1.001), "is given .* when alone"),
        (pl.col("item_ids").list.reverse(), "is given .* when alone"),
        (pl.col("item_ids").list.tail(4), "has 4 items, and 5 when alone"),
        (pl.col("unknown_ids") + 1, "column 'unknown_ids' is not that of the input"),
        (pl.col("user_id") + 1, "column 'user_id' is not that of the input"),
    ],
)
def test_answers_that_are_not_of_the_bundle_are_found(change: pl.Expr, told: str, out: Path) -> None:
    path = sorted(out.glob("*.parquet"))[0]
    shard = pl.read_parquet(path)
    shard.with_columns(change.cast(shard.schema[change.meta.root_names()[0]])).write_parquet(path)
    manifest = json.loads((out / MANIFEST_FILE).read_text())
    manifest["shards"][0] |= {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (out / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(CheckError, match=f"{path.name}: .*{told}"):
        verify_scores(out)


def test_an_output_that_is_not_finished_is_no_good(out: Path) -> None:
    (out / SUCCESS).unlink()
    with pytest.raises(CheckError, match="out is not finished: it has no _SUCCESS; --resume goes on"):
        verify_scores(out)


def test_a_shard_that_is_missing_or_one_too_many_is_named(out: Path) -> None:
    path = sorted(out.glob("*.parquet"))[0]
    shutil.copyfile(path, out / "part-99.parquet")
    with pytest.raises(CheckError, match=r"holds part-99.parquet, no shards of it"):
        verify_scores(out)
    (out / "part-99.parquet").unlink()
    path.unlink()
    with pytest.raises(CheckError, match=f"{path.name} is missing; --resume scores its unit again"):
        verify_scores(out)


def test_another_bundle_or_input_is_refused(variants: OnDemand, out: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was refreshed since the scoring began"):
        verify_scores(out, variants["length_one"])
    others = write_parts(tmp_path / "others", shop(opened(variants["raw_ids"]), seed=1))
    with pytest.raises(InputError, match="others is another input than"):
        verify_scores(out, users=others)


def test_where_the_input_is_gone_hashes_alone_are_compared_and_a_note_says_so(out: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "users", tmp_path / "moved")
    verified = verify_scores(out)
    assert verified.replayed == 0
    assert verified.notes == (f"not replayed: the input {tmp_path / 'users'} is not there",)
    assert verify_scores(out, users=tmp_path / "moved").replayed == 40


def test_what_is_no_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not an output of `bst score`: _plan.json cannot be read"):
        verify_scores(tmp_path)
