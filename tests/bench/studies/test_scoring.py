"""The study of scoring: users that are made up, contestants of one bundle, and a run that is killed."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from bench.studies.scoring.kills import resident, score_disturbed
from bench.studies.scoring.throughput import CLOSED, ONE_BY_ONE, WORKER, Shop, contestants_of, race, ratios
from bench.studies.scoring.users import write_users
from bst import InputError
from export import open_bundle
from tests.conftest import OnDemand


def test_made_up_users_are_many_and_the_same_again(bundle_path: Path, tmp_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    first, second = (write_users(tmp_path / name, bundle, 25, median=5, file_rows=10) for name in ("a", "b"))
    users = pl.read_parquet(sorted(first.iterdir()))
    assert users["user_id"].to_list() == list(range(25))
    assert set(users.columns) == {"user_id", "history", "gender", "region"}
    assert users.equals(pl.read_parquet(sorted(second.iterdir())))


def test_users_of_a_model_that_reads_events_are_refused(variants: OnDemand, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="reads events, event_time, which made-up users have none of"):
        write_users(tmp_path / "users", open_bundle(variants["text_ids"]), 5)


def test_every_contestant_scores_in_every_round(bundle_path: Path, tmp_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    users = write_users(tmp_path / "users", bundle, 30, median=5, file_rows=10)
    speeds = race(contestants_of(Shop.of(bundle, users, tmp_path / "out", 10)), 2)
    assert {len(values) for values in speeds.values()} == {2}
    assert set(ONE_BY_ONE) | {WORKER} <= set(speeds)
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 3


def test_the_ratio_is_that_of_one_round_and_to_the_best_batch() -> None:
    loops = {name: [5.0, 5.0, 10.0] for name in ONE_BY_ONE}
    speeds = {WORKER: [10.0, 5.0, 20.0], CLOSED.format(8): [20.0, 10.0, 20.0], CLOSED.format(64): [1.0, 99.0, 1.0]}
    answer = ratios({**speeds, **loops})
    assert set(answer) == {CLOSED.format(8), *ONE_BY_ONE}
    assert answer[CLOSED.format(8)][1] == 0.5


@pytest.mark.slow
def test_a_batch_that_is_killed_has_the_bytes_of_one_that_is_not(bundle_path: Path, tmp_path: Path) -> None:
    users = write_users(tmp_path / "users", open_bundle(bundle_path), 3000, median=5, file_rows=100)
    alone, disturbed = (
        score_disturbed(bundle_path, users, tmp_path / f"out-{kills}", kills=kills, mean_s=4.0, workers=2)
        for kills in (0, 3)
    )
    assert disturbed.sha256 == alone.sha256
    assert (alone.kills, alone.terminations) == (0, 0)
    assert 50e6 < alone.peak_bytes < 3e9


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_of_a_process_that_has_ended_is_none() -> None:
    assert resident(2**22 + 1) == 0
