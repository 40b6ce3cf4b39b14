"""Real clusters on this machine: Ray with two workers, Spark with two threads, in an environment of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import OnDemand, same_but_for_speed, write_events
from tests.export.batch.shop import opened, score_here, shards, shop, write_parts

ROOT = Path(__file__).parents[3]
CLUSTERS = ROOT / "tests" / "clusters"
PYTHON = CLUSTERS / ".venv" / "bin" / "python"
NEEDS_CLUSTERS = pytest.mark.skipif(not PYTHON.exists(), reason="`make test-all` installs Ray and Spark")
pytestmark = [pytest.mark.slow, pytest.mark.bundle, NEEDS_CLUSTERS]


def job(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": str(PYTHON)}
    command = [str(PYTHON), str(CLUSTERS / program), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def has_java_17() -> bool:
    if not shutil.which("java"):
        return False
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    return 'version "17' in told or 'version "21' in told


def test_a_ray_cluster_that_loses_a_worker_gives_the_same_bytes(bundle_path: Path, tmp_path: Path) -> None:
    users = write_parts(tmp_path / "users", shop(opened(bundle_path)))
    done = job("ray_job.py", bundle_path, users, tmp_path / "out", tmp_path / "mark")
    assert done.stdout.splitlines()[-1] == "6 0"  # units, and whether Ray reports how it is used
    assert (tmp_path / "mark").exists()
    score_here(bundle_path, users, tmp_path / "here", unit_rows=9)
    assert shards(tmp_path / "out") == shards(tmp_path / "here")


def test_the_command_scores_on_ray(bundle_path: Path, tmp_path: Path) -> None:
    users = write_parts(tmp_path / "users", shop(opened(bundle_path)))
    command = [str(PYTHON), "-m", "bst", "score", str(bundle_path), str(users), "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--engine", "ray", "--workers", "2"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    score_here(bundle_path, users, tmp_path / "here")
    assert shards(tmp_path / "out") == shards(tmp_path / "here")


@pytest.mark.skipif(not has_java_17(), reason="Spark needs Java 17 or later")
@pytest.mark.parametrize(("variant", "candidates"), [("raw_ids", ()), ("text_ids", ()), ("clicks", ("candidates",))])
def test_spark_gives_the_answers_of_the_command(
    variant: str, candidates: tuple[str, ...], variants: OnDemand, tmp_path: Path
) -> None:
    users = write_parts(tmp_path / "users", shop(opened(variants[variant])))
    job("spark_job.py", variants[variant], users, tmp_path / "out", 3, *candidates)
    chosen = {"candidates": candidates[0]} if candidates else {}
    expected = score_here(variants[variant], users, tmp_path / "here", k=3, **chosen)
    scores = pl.read_parquet(tmp_path / "out" / "*.parquet").sort("user_id")
    expected = expected.sort("user_id")
    assert scores.columns == expected.columns
    assert (
        scores.select("user_id", "item_ids", "unknown_ids").rows()
        == expected.select("user_id", "item_ids", "unknown_ids").rows()
    )
    for name in scores.columns[2:-1]:
        largest = scores[name].explode().abs().max()
        differences = (scores[name].explode() - expected[name].explode()).abs()
        assert differences.max() <= 1e-5 * largest


def test_a_training_of_two_processes_on_ray_ends_with_the_bytes_of_torchrun(tmp_path: Path) -> None:
    settings = tmp_path / "small.toml"
    settings.write_text("[model]\ndim = 16\nnum_heads = 2\nff_width = 32\nmax_length = 12\n")
    write_events(tmp_path / "events.csv")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def call(*command: object) -> None:
        done = subprocess.run(
            [str(PYTHON), *map(str, command)], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    call("-m", "bst", "prepare", tmp_path / "events.csv", "--out", tmp_path / "data")
    words = ("--config", settings, "--epochs", 2)
    call(ROOT / "examples" / "train_on_ray.py", tmp_path / "data", tmp_path / "on-ray", 2, *words)
    torchrun = ("-m", "torch.distributed.run", "--nproc-per-node", 2, "-m", "bst", "train")
    call(*torchrun, tmp_path / "data", "--out", tmp_path / "by-torchrun", *words)
    same_but_for_speed(tmp_path / "on-ray", tmp_path / "by-torchrun")
