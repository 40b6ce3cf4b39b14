"""A batch that ends anywhere goes on where it was, and ends with the same bytes."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bst import CheckError, InputError
from export.batch import ScoreSettings, score_users, verify_scores
from export.batch.plan import SUCCESS
from export.batch.shards import record_path
from tests.export.batch.shop import Here, in_this_process, opened, score_here, shards, shop, write_parts

UNITS = 6


@pytest.fixture
def users(bundle_path: Path, tmp_path: Path) -> Path:
    return write_parts(tmp_path / "users", shop(opened(bundle_path)))


def score(bundle: Path, users: Path, out: Path, engine: Any = in_this_process, **options: Any) -> Any:
    with Here(engine) as name:
        return score_users(bundle, users, out, ScoreSettings(unit_rows=7), engine=name, **options)


def failing_after(count: int) -> Callable[..., Iterator[Any]]:
    def map_units(function: Any, units: Any, workers: int) -> Iterator[Any]:
        for unit in units[:count]:
            yield function(unit)
        raise RuntimeError("the machine is gone")

    return map_units


def test_a_batch_that_ends_after_any_unit_ends_with_the_same_bytes(
    bundle_path: Path, users: Path, tmp_path: Path
) -> None:
    score(bundle_path, users, tmp_path / "whole")
    whole = shards(tmp_path / "whole")
    assert len(whole) == UNITS
    for count in range(UNITS):
        out = tmp_path / f"out-{count}"
        with pytest.raises(RuntimeError, match="the machine is gone"):
            score(bundle_path, users, out, failing_after(count))
        assert not (out / SUCCESS).exists()
        summary = score(bundle_path, users, out, resume=True)
        assert summary.skipped == count
        assert (out / SUCCESS).exists()
        assert shards(out) == whole


def test_a_finished_output_is_left_as_it_is(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    score(bundle_path, users, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")}
    assert score(bundle_path, users, tmp_path / "out", failing_after(0), resume=True).skipped == UNITS
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.parquet")} == before


def test_progress_says_how_many_how_fast_and_how_long(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    score(bundle_path, users, tmp_path / "out", tell=steps.append)
    done = [step for step in steps if " users" in step and " of " in step]
    assert [step.split()[0] for step in done] == ["0", "7", "14", "21", "28", "35", "40"]
    assert re.fullmatch(r"40 of 40 users, [\d,]+ a second, 0:00:00 left", done[-1])


def test_without_resume_an_output_is_never_touched(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    score(bundle_path, users, tmp_path / "out")
    with pytest.raises(InputError, match=r"the output .*out exists; give another --out"):
        score(bundle_path, users, tmp_path / "out")


def test_two_workers_on_one_unit_do_no_harm(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    def twice(function: Any, units: Any, workers: int) -> Iterator[Any]:
        for unit in units:
            both = [threading.Thread(target=function, args=(unit,)) for _ in range(2)]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
            yield function(unit)

    score(bundle_path, users, tmp_path / "out", twice)
    score(bundle_path, users, tmp_path / "whole")
    assert shards(tmp_path / "out") == shards(tmp_path / "whole")
    assert not list((tmp_path / "out").rglob("*.partial-*"))


def test_a_shard_without_its_record_is_scored_again(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    score(bundle_path, users, out)
    name, content = next(iter(shards(out).items()))
    (out / name).write_bytes(content[:100])  # as another program may leave it: this one renames whole files
    record_path(out, name).unlink()
    assert score(bundle_path, users, out, resume=True).skipped == UNITS - 1
    assert shards(out)[name] == content


def cut(content: bytes) -> bytes:
    return content[:-1]


def flipped(content: bytes) -> bytes:
    return content[:40] + bytes([content[40] ^ 255]) + content[41:]


@pytest.mark.parametrize("change", [cut, flipped])
def test_an_altered_shard_is_named_and_scored_again_once_it_is_removed(
    change: Callable[[bytes], bytes], bundle_path: Path, users: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    score(bundle_path, users, out)
    whole = shards(out)
    name = list(whole)[2]
    (out / name).write_bytes(change(whole[name]))
    for again in (lambda: score(bundle_path, users, out, resume=True), lambda: verify_scores(out)):
        with pytest.raises(CheckError, match=rf"{name} is altered: .*; remove it, and --resume scores its unit again"):
            again()
    (out / name).unlink()
    score(bundle_path, users, out, resume=True)
    assert shards(out) == whole


def test_a_bundle_that_is_refreshed_on_the_way_stops_the_batch(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_path, bundle)

    def refreshed(function: Any, units: Any, workers: int) -> Iterator[Any]:
        yield function(units[0])
        manifest = bundle / "manifest.json"
        manifest.write_text(manifest.read_text().replace("{", "{ ", 1))
        yield function(units[1])

    with pytest.raises(InputError, match=r"bundle was refreshed since the scoring began; .* another --out"):
        score(bundle, users, tmp_path / "out", refreshed)
    assert len(shards(tmp_path / "out")) == 1
    with pytest.raises(InputError, match=r"out is of the bundle .* \(\w{12}\), not .*; give another --out"):
        score(bundle, users, tmp_path / "out", resume=True)


def test_an_input_that_changes_on_the_way_stops_the_batch(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    def rewritten(function: Any, units: Any, workers: int) -> Iterator[Any]:
        yield function(units[0])
        pl.read_parquet(users / "part-2.parquet")[:-1].write_parquet(users / "part-2.parquet")
        yield from map(function, units[1:])

    with pytest.raises(InputError, match=r"part-2.parquet was changed while it was scored"):
        score(bundle_path, users, tmp_path / "out", rewritten)
    with pytest.raises(InputError, match=r"out is of the input .* \(40 rows\), not .* \(39 rows\); give another --out"):
        score(bundle_path, users, tmp_path / "out", resume=True)


def test_other_settings_are_refused_by_name(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    score_here(bundle_path, users, tmp_path / "out", k=3)
    before = shards(tmp_path / "out")
    with pytest.raises(
        InputError, match="out is of k=3, not k=2; unit_rows=25000, not unit_rows=7; give another --out"
    ):
        score_here(bundle_path, users, tmp_path / "out", k=2, unit_rows=7, resume=True)
    assert shards(tmp_path / "out") == before


def test_a_folder_of_something_else_is_refused(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(InputError, match="out is not an output of `bst score`, and not empty"):
        score(bundle_path, users, tmp_path / "out", resume=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_call_that_was_killed_while_it_wrote_the_plan_goes_on(bundle_path: Path, users: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "_units").mkdir(parents=True)
    (tmp_path / "out" / "._plan.json.partial-abc").touch()
    score(bundle_path, users, tmp_path / "out", resume=True)
    assert not list((tmp_path / "out").rglob("*.partial-*"))


def test_the_name_of_a_shard_follows_from_content_bundle_and_settings(
    bundle_path: Path, users: Path, tmp_path: Path
) -> None:
    score_here(bundle_path, users, tmp_path / "out")
    shutil.copytree(users, tmp_path / "elsewhere")
    score_here(bundle_path, tmp_path / "elsewhere", tmp_path / "moved")
    score_here(bundle_path, users, tmp_path / "other", k=2)
    assert shards(tmp_path / "moved") == shards(tmp_path / "out")
    assert not shards(tmp_path / "other").keys() & shards(tmp_path / "out").keys()
