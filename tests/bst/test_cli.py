"""How a command ends that a signal, or the reader of its output, has ended."""

import os
import signal
import subprocess
import sys

import pytest

from bst import cli
from bst.errors import CheckError, InputError, printable


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (15, 143, "terminated")])
@pytest.mark.parametrize("became", [InputError, CheckError, OSError, SystemError])
def test_what_a_signal_became_on_its_way_is_told_as_the_signal(
    became: type[Exception],
    number: int,
    code: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(arguments: list[str]) -> None:
        raise became("events.csv cannot be read as a table")

    monkeypatch.setattr(cli, "_typed", command)
    monkeypatch.setattr(cli, "HEARD", [number])
    assert cli.run([]) == code
    assert capsys.readouterr().err == f"error: {word}\n"


@pytest.mark.parametrize("unbuffered", ["", pytest.param("1", marks=pytest.mark.slow)])
def test_output_that_nobody_reads_ends_a_command_in_silence(unbuffered: str) -> None:
    command = [sys.executable, "-m", "bst", "train", "--help"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_text_of_a_stranger_does_not_move_the_cursor() -> None:
    assert printable("a  \x1b[2J\u202eb\n") == r"a  \x1b[2J\u202eb\n"
