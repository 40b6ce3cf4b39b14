"""The engine `local`: real processes, which may die at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bst import CheckError, InputError
from export.batch import ScoreSettings, score_users
from export.batch.engines.local import map_in_processes
from export.batch.plan import SUCCESS
from tests.export.batch.shop import Here, opened, score_here, shards, shop, write_parts

ROOT = Path(__file__).parents[3]


@pytest.fixture
def users(bundle_path: Path, tmp_path: Path) -> Path:
    return write_parts(tmp_path / "users", shop(opened(bundle_path)))


def dying(function: Any, name: str, unit: Any) -> Any:
    if unit.name == name:
        os.kill(os.getpid(), signal.SIGKILL)
    return function(unit)


def failing(function: Any, name: str, unit: Any) -> Any:
    if unit.name == name:
        raise KeyError("pudding")
    return function(unit)


def spoilt(how: Any, place: int) -> Any:
    def map_units(function: Any, units: Any, workers: int) -> Any:
        return map_in_processes(partial(how, function, units[place].name), units, workers)

    return map_units


def test_processes_give_the_bytes_that_one_gives(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    score_here(bundle_path, users, tmp_path / "here", unit_rows=9)
    score_users(bundle_path, users, tmp_path / "out", ScoreSettings(unit_rows=9), workers=2)
    assert shards(tmp_path / "out") == shards(tmp_path / "here")


@pytest.mark.parametrize(
    ("how", "told"), [(dying, "ended with exit code -9, which is -9 where"), (failing, "KeyError: 'pudding'")]
)
def test_a_worker_that_dies_names_its_unit_and_the_rest_is_kept(
    how: Any, told: str, bundle_path: Path, users: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with (
        Here(spoilt(how, 2)) as engine,
        pytest.raises(CheckError, match=rf"rows 0 to 8 of .*part-1.parquet.*{told}"),
    ):
        score_users(bundle_path, users, out, ScoreSettings(unit_rows=9), engine=engine, workers=2)
    finished = shards(out)  # those before, and what the other worker did until the death was noticed
    names = {name[:10] for name in finished}
    assert names >= {"part-00000", "part-00001"}
    assert "part-00002" not in names
    assert not list(out.rglob("*.partial-*"))
    summary = score_users(bundle_path, users, out, ScoreSettings(unit_rows=9), resume=True, workers=1)
    assert summary.skipped == len(finished)
    score_here(bundle_path, users, tmp_path / "here", unit_rows=9)
    assert shards(out) == shards(tmp_path / "here")


def test_bad_input_in_a_worker_is_bad_input(bundle_path: Path, tmp_path: Path) -> None:
    frame = shop(opened(bundle_path))
    users = write_parts(tmp_path / "users", frame.with_columns(region=frame["region"].cast(float) + 0.5))
    with pytest.raises(InputError, match=r"rows 0 to 13 of .*part-0.parquet: column 'region' holds fractions"):
        score_users(bundle_path, users, tmp_path / "out", workers=1)


@pytest.mark.slow
def test_a_command_that_is_killed_at_random_moments_ends_with_the_same_bytes(
    bundle_path: Path, tmp_path: Path, times: int
) -> None:
    users = write_parts(tmp_path / "users", shop(opened(bundle_path), 4000), 8)
    score_here(bundle_path, users, tmp_path / "here", unit_rows=50)
    out, seed = tmp_path / "out", random.Random(0)
    command = [sys.executable, "-m", "bst", "score", str(bundle_path), str(users), "--out", str(out), "--resume"]
    command += ["--unit-rows", "50", "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for place in range(6 * times):
        running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if place:  # once it has begun, at any moment
            until = time.monotonic() + seed.uniform(2, 8)
            while time.monotonic() < until and running.poll() is None:
                time.sleep(0.01)
        kind = seed.choice([signal.SIGKILL, signal.SIGTERM])
        if running.poll() is None:
            running.send_signal(kind)
        _, stderr = running.communicate()
        if running.returncode == 143:
            assert stderr == b"error: terminated\n"
            assert not list(out.rglob("*.partial-*"))
        time.sleep(0.2)  # workers end when their parent has
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "scored 4,000 users in 80 shards" in done.stdout
    assert (out / SUCCESS).exists()
    assert not list(out.rglob("*.partial-*"))
    assert shards(out) == shards(tmp_path / "here")
