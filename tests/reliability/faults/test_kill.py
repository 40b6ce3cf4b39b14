"""`kill -9` at any moment: nothing that was whole is lost, nothing half-written is there, and the next call works."""

import shutil
import time
from pathlib import Path

import pytest

from bench import read_record
from bst import InputError, load_run
from bst.run.state_file import load_state
from export.contract.contents import check_files
from export.contract.rules import read_manifest
from tests.conftest import Command, same_but_for_speed
from tests.reliability.faults.faults import Calls, content, kill_at_random, leftovers

QUICK = 6.0  # seconds within which the few kills of a quick test fall
FEW, MANY = 2, 10  # many by default; docs/explanation/reliability.md has the results of five times as many, `--times 5`
BENCH = (
    *("--backends", "eager", "--signature", "encode_user", "--batch-sizes", 1),
    *("--launches", 2, "--rounds", 1, "--round-seconds", 0.02),
)


def seconds_of(calls: Calls, kills: int, *arguments: object) -> float:
    """How long an undisturbed call takes, with some room; where few are killed, a guess."""
    if kills == FEW:
        return QUICK
    started = time.monotonic()
    assert calls.start(*arguments).wait() == 0
    return 1.1 * (time.monotonic() - started)


def check_bundle(bundle: Path) -> str:
    """Give the hash of its run, when all its files are those of its manifest."""
    manifest = read_manifest(bundle)
    check_files(bundle, manifest)
    return manifest.run_sha256


@pytest.fixture
def kills(request: pytest.FixtureRequest, times: int) -> int:
    return FEW if request.param == FEW else int(request.param) * times


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.slow)], indirect=True)
@pytest.mark.bundle
def test_training_resumes_after_a_kill_at_any_moment(
    calls: Calls, training: tuple[str, ...], small_run: Path, tmp_path: Path, bst_command: Command, kills: int
) -> None:
    earlier, run = Path(shutil.copytree(small_run, tmp_path / "earlier")), tmp_path / "run"
    before = content(earlier)

    def after_kill() -> str:
        assert content(earlier) == before
        if not run.exists():
            return "no run yet"
        load_state(run)
        try:
            return f"{len(load_run(run).epochs)} epochs"
        except InputError as error:
            assert "its first epoch was not finished" in str(error)  # noqa: PT017  it need not raise
            return "no epoch yet"

    def after_end() -> None:
        same_but_for_speed(earlier, run)
        assert not leftovers(tmp_path)
        shutil.rmtree(run)

    seconds = seconds_of(calls, kills, *training, tmp_path / "whole")
    kill_at_random(lambda: calls.start(*training, run), kills, seconds, after_kill, after_end)
    assert bst_command(*training, run)[0] == 0
    after_end()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("formats", "kills"),
    [
        ("torchscript", 4),
        ("onnx", 3),
        ("onnx,torchscript,pt2", 3),
    ],
    indirect=["kills"],
)
@pytest.mark.bundle
def test_an_export_is_there_whole_or_not_at_all_after_a_kill(
    calls: Calls, small_run: Path, tmp_path: Path, bst_command: Command, formats: str, kills: int
) -> None:
    before, bundle = content(small_run), tmp_path / "bundle"
    arguments = ("export", small_run, "--k", 5, "--formats", formats, "--out")

    def after_kill() -> str:
        assert content(small_run) == before
        if not bundle.exists():
            return "no bundle, a stage" if leftovers(tmp_path) else "no bundle"
        after_end()
        return "a whole bundle"

    def after_end() -> None:
        check_bundle(bundle)
        shutil.rmtree(bundle)

    seconds = seconds_of(calls, kills, *arguments, tmp_path / "whole")
    kill_at_random(lambda: calls.start(*arguments, bundle), kills, seconds, after_kill, after_end)
    assert bst_command(*arguments, bundle)[0] == 0
    after_end()
    assert not leftovers(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [MANY], indirect=True)
def test_a_bundle_that_is_refreshed_is_whole_after_a_kill(
    calls: Calls,
    training: tuple[str, ...],
    small_run: Path,
    small_bundle: Path,
    tmp_path: Path,
    bst_command: Command,
    kills: int,
) -> None:
    bundle = Path(shutil.copytree(small_bundle, tmp_path / "bundle"))
    runs = [small_run, tmp_path / "other_run"]
    assert bst_command(*training, runs[1], "--seed", 1)[0] == 0
    first = check_bundle(bundle)
    versions = {first}

    def refresh() -> tuple[object, ...]:
        """With the run that it is not of."""
        return ("export", runs[check_bundle(bundle) == first], "--into", bundle)

    def after_kill() -> str:
        versions.add(check_bundle(bundle))
        return "a stage" if leftovers(tmp_path) else "no stage"

    seconds = seconds_of(calls, kills, *refresh())
    kill_at_random(lambda: calls.start(*refresh()), kills, seconds, after_kill, lambda: None)
    assert bst_command(*refresh())[0] == 0
    versions.add(check_bundle(bundle))
    assert len(versions) == 2
    assert not leftovers(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [MANY], indirect=True)
def test_a_killed_bench_leaves_the_old_record_and_no_process(
    calls: Calls, small_bundle: Path, tmp_path: Path, bst_command: Command, kills: int
) -> None:
    record = tmp_path / "bench.json"
    arguments = ("bench", small_bundle, *BENCH, "--json", record)
    seconds = seconds_of(calls, kills, *arguments)
    if not record.exists():
        assert bst_command(*arguments)[0] == 0
    before = record.read_bytes()

    def after_kill() -> str:
        nonlocal before
        calls.wait_for_all()
        found = record.read_bytes()
        read_record(record)
        told = "the old record" if found == before else "the new record"
        before = found
        return f"{told}, temporary files" if calls.own_temporary() else told

    def after_end() -> None:
        nonlocal before
        read_record(record)
        assert not calls.own_temporary()
        before = record.read_bytes()

    kill_at_random(lambda: calls.start(*arguments), kills, seconds, after_kill, after_end)
    assert calls.start(*arguments).wait() == 0
    after_end()
    assert not leftovers(tmp_path)


@pytest.mark.slow
def test_a_killed_tuning_leaves_no_process(calls: Calls, small_run: Path, tmp_path: Path) -> None:
    arguments = ("export", small_run, "--k", 5, "--formats", "onnx", "--tune", "--out", tmp_path / "bundle")
    process = calls.start(*arguments)
    while not any("spawn_main" in line for line in calls.processes()):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    calls.wait_for_all()
