"""Processes that work for another one: a death is told, and no signal parts their start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bst.errors import CheckError, InputError
from bst.system.processes import in_own_process, undisturbed_start

ROOT = Path(__file__).parents[3]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse() -> None:
    raise InputError("no")


def masked() -> set[int]:
    return {int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, [])}


def test_a_process_that_is_killed_ends_the_call() -> None:
    with pytest.raises(
        CheckError, match=r"the process of die ended with exit code -9, .*; free some and run the command again"
    ):
        in_own_process(die)


def test_what_is_raised_or_answered_in_a_process_comes_back() -> None:
    assert in_own_process(os.getpid) != os.getpid()
    with pytest.raises(InputError, match="no"):
        in_own_process(refuse)


@pytest.mark.slow
def test_ctrl_c_is_masked_in_the_first_process_as_in_the_second() -> None:
    program = "print(*(in_own_process(masked) for _ in range(2)))"  # here, others may have been started before
    imports = "from bst.system.processes import in_own_process; from tests.bst.system.test_processes import masked"
    command = [sys.executable, "-c", f"{imports}; {program}"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found.split() == ["{2}", "{2}"]


@pytest.mark.parametrize(("first", "second"), [(signal.SIGINT, signal.SIGTERM)])
def test_a_signal_in_the_middle_of_restoring_leaves_no_other_unheard(
    monkeypatch: pytest.MonkeyPatch, first: signal.Signals, second: signal.Signals
) -> None:
    heard: list[int] = []
    before = signal.signal(second, lambda number, frame: heard.append(number))
    restore = signal.signal

    def interrupted(number: int, handler: object) -> object:
        found = restore(number, handler)  # type: ignore[arg-type]
        if number == first and handler is signal.default_int_handler:
            raise KeyboardInterrupt("parted")
        return found

    monkeypatch.setattr(signal, "signal", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt, match="parted"), undisturbed_start():
            pass
        signal.raise_signal(second)
    finally:
        restore(first, signal.default_int_handler)
        restore(second, before)
    assert heard == [second]
