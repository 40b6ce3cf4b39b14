"""Ctrl-C and SIGTERM end a command in one line with nothing left behind, and two that write the same do not mix."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bst.run.folder import run_hash
from bst.system.files import alone_in
from bst.system.processes import undisturbed_start
from export.contract.contents import check_files
from export.contract.rules import read_manifest
from tests.conftest import Command, refused, same_but_for_speed
from tests.reliability.faults.faults import Calls, Started, content, leftovers

INTERRUPT, TERMINATE = (signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")
ALSO = pytest.mark.slow
BENCH = ("--backends", "eager", "--signature", "encode_user", "--launches", 9, "--rounds", 9)


def interrupt(call: Started, given: tuple[int, int, str], ready: Callable[[], bool], calls: Calls) -> None:
    """Send a signal when the call is `ready`: Ctrl-C to the whole group, as a terminal does."""
    number, code, word = given
    while not ready():
        assert call.process.poll() is None, call.messages.read_text()
        time.sleep(0.005)
    if number == signal.SIGINT:
        os.killpg(call.process.pid, number)
    else:
        call.process.send_signal(number)
    found, _, told = call.end()
    assert told.splitlines()[-1] == f"error: {word}"
    assert told.count("\n") == 1 or "panicked at" in told  # by polars, if the signal came while it loaded numpy
    assert found == code
    calls.wait_for_all()
    assert not leftovers(calls.folder)
    assert not calls.own_temporary()


@pytest.mark.parametrize("given", [pytest.param(INTERRUPT, marks=ALSO), TERMINATE])
def test_a_signal_ends_training_which_can_be_resumed(
    calls: Calls, training: tuple[str, ...], small_run: Path, given: tuple[int, int, str], bst_command: Command
) -> None:
    run = calls.folder / "run"
    interrupt(calls.started(*training, run), given, run.exists, calls)
    assert bst_command(*training, run)[0] == 0
    same_but_for_speed(small_run, run)


@pytest.mark.parametrize("given", [INTERRUPT, pytest.param(TERMINATE, marks=ALSO)])
def test_a_signal_ends_an_export_with_nothing_left(calls: Calls, small_run: Path, given: tuple[int, int, str]) -> None:
    bundle = calls.folder / "bundle"
    call = calls.started("export", small_run, "--formats", "torchscript", "--k", 5, "--out", bundle)
    interrupt(call, given, lambda: any(calls.folder.glob(".bundle.partial-*/*")), calls)
    assert not bundle.exists()


@pytest.mark.slow
@pytest.mark.parametrize("given", [INTERRUPT, TERMINATE])
def test_a_signal_leaves_the_bundle_that_was_to_be_refreshed(
    calls: Calls, small_run: Path, small_bundle: Path, given: tuple[int, int, str]
) -> None:
    bundle = Path(shutil.copytree(small_bundle, calls.folder / "bundle"))
    call = calls.started("export", small_run, "--into", bundle)
    interrupt(call, given, lambda: any(calls.folder.glob(".bundle.partial-*/*")), calls)
    assert content(bundle) == content(small_bundle)


@pytest.mark.slow
@pytest.mark.parametrize("given", [INTERRUPT, TERMINATE])
def test_a_signal_ends_a_bench_with_all_its_processes(
    calls: Calls, small_bundle: Path, given: tuple[int, int, str]
) -> None:
    record = calls.folder / "bench.json"
    record.write_text("old")
    call = calls.started("bench", small_bundle, *BENCH, "--json", record)
    interrupt(call, given, lambda: any("spawn_main" in line for line in calls.processes()), calls)
    assert record.read_text() == "old"


def test_a_signal_waits_until_a_process_is_started() -> None:
    order: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: order.append("heard"))
    release = threading.Event()
    other = threading.Thread(target=release.wait)  # it can take the signal, whatever the mask of this thread
    other.start()
    try:
        with undisturbed_start():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            order.append("started")
    finally:
        signal.signal(signal.SIGTERM, before)
        release.set()
        other.join()
    assert order == ["started", "heard"]


@pytest.mark.slow
@pytest.mark.parametrize("given", [INTERRUPT, TERMINATE])
def test_a_signal_ends_a_tuning_with_its_process(calls: Calls, small_run: Path, given: tuple[int, int, str]) -> None:
    bundle = calls.folder / "bundle"
    call = calls.started("export", small_run, "--formats", "onnx", "--tune", "--k", 5, "--out", bundle)
    interrupt(call, given, lambda: any("spawn_main" in line for line in calls.processes()), calls)
    assert not bundle.exists()


def test_a_run_that_is_being_trained_is_left_alone(
    training: tuple[str, ...], small_run: Path, tmp_path: Path, bst_command: Command
) -> None:
    run = Path(shutil.copytree(small_run, tmp_path / "run"))
    with alone_in(run, "the run"):
        refused(bst_command(*training, run), f"the run {run} is being written by another process; wait")
    assert content(run) == content(small_run)
    assert bst_command(*training, run)[0] == 0


@pytest.mark.slow
def test_of_two_trainings_of_one_run_one_wins(calls: Calls, training: tuple[str, ...], small_run: Path) -> None:
    for _ in range(3):
        run = calls.folder / "run"
        ends = [call.end() for call in [calls.started(*training, run) for _ in range(2)]]
        codes = sorted(end[0] for end in ends)
        assert codes[0] == 0
        for end in ends:
            if end[0]:
                refused(end, str(run))
        same_but_for_speed(small_run, run)
        assert not leftovers(calls.folder)
        shutil.rmtree(run)


@pytest.mark.slow
def test_of_two_exports_to_one_bundle_one_wins(calls: Calls, small_run: Path) -> None:
    for _ in range(3):
        bundle = calls.folder / "bundle"
        arguments = ("export", small_run, "--formats", "torchscript", "--k", 5, "--out", bundle)
        ends = sorted(call.end() for call in [calls.started(*arguments) for _ in range(2)])
        assert ends[0][0] == 0
        refused(ends[1], "the bundle", "exists; give another --out or remove it first")
        check_files(bundle, read_manifest(bundle))
        assert not leftovers(calls.folder)
        shutil.rmtree(bundle)


@pytest.mark.slow
def test_two_refreshes_of_one_bundle_leave_the_whole_one_of_either(
    calls: Calls, training: tuple[str, ...], small_run: Path, small_bundle: Path, bst_command: Command
) -> None:
    bundle = Path(shutil.copytree(small_bundle, calls.folder / "bundle"))
    runs = [small_run, calls.folder / "other_run"]
    assert bst_command(*training, runs[1], "--seed", 1)[0] == 0
    for _ in range(3):
        both = [calls.started("export", run, "--into", bundle) for run in runs]
        assert [call.end() for call in both] == [(0, "", ""), (0, "", "")]
        manifest = read_manifest(bundle)
        check_files(bundle, manifest)
        assert manifest.run_sha256 in map(run_hash, runs)
        assert not leftovers(calls.folder)
