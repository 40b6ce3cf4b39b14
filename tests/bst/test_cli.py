"""The command `bst` as people and shells meet it, and how it ends when a signal or its reader ends it."""

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import bst
from bst import cli
from bst.errors import CheckError, InputError, printable
from tests.conftest import Command


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


def test_the_version_is_printed(bst_command: Command) -> None:
    assert bst_command("--version") == (0, f"bst {bst.__version__}\n", "")


@pytest.mark.parametrize("name", cli.ORDER)
def test_h_is_help_and_each_option_stands_once_under_a_heading(bst_command: Command, name: str) -> None:
    code, out, err = bst_command(name, "-h")
    assert (code, err) == (0, "")
    assert out == bst_command(name, "--help")[1]
    usage, *sections = re.split(r"^(?=\w[\w ]*:\n)", out, flags=re.M)
    assert usage.startswith(f"Usage: bst {name}")
    assert sections[-1].splitlines()[0] == "Options:"
    assert "-h, --help" in sections[-1]
    command = cli.build_app().commands[name]
    for parameter in command.params:
        if parameter.param_type_name == "option":
            heading = parameter.rich_help_panel or "Options"
            assert re.search(rf"^{heading}:\n(  .*\n)*  {re.escape(parameter.opts[0])}\b", out, re.M), parameter.opts


def test_no_line_about_a_command_is_cut_off_at_80_columns(
    bst_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = bst_command("-h")
    lines = out[out.index("Commands:") :].splitlines()[1:]
    assert code == 0
    assert [line.split()[0] for line in lines] == list(cli.ORDER)
    assert all(line.endswith(".") and not line.endswith("...") for line in lines)
    assert max(map(len, out.splitlines())) <= 80


def test_a_command_is_loaded_when_it_is_asked_for_and_no_other() -> None:
    commands = cli.build_app().commands
    assert commands["train"].name == "train"
    assert {name for name, one in commands.data.items() if not isinstance(one, EntryPoint)} == {"train"}


@pytest.mark.parametrize(
    ("typed", "completed", "loaded"),
    [
        ("bst e", ["evaluate", "export"], set()),
        ("bst recommend --b", ["--backend"], {"recommend"}),
        ("bst --v", ["--version"], set()),
    ],
)
def test_a_shell_completes_commands_and_options_and_loads_only_what_it_needs(
    typed: str,
    completed: list[str],
    loaded: set[str],
    bst_command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = cli.build_app()
    monkeypatch.setattr(cli, "build_app", lambda: group)
    monkeypatch.setenv("_BST_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
    code, out, err = bst_command()
    assert (code, out.split(), err) == (0, completed, "")
    assert {name for name, one in group.commands.data.items() if not isinstance(one, EntryPoint)} == loaded


def test_the_script_for_a_shell_asks_for_the_command_bst(bst_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    code, out, _ = bst_command("--show-completion")
    assert code == 0
    assert "_BST_COMPLETE=complete_bash" in out
    assert out.rstrip().endswith("complete -o default -F _bst_completion bst")


def test_the_script_is_installed_where_the_shell_looks(
    bst_command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert bst_command("--install-completion")[0] == 0
    assert "_BST_COMPLETE" in (tmp_path / ".bash_completions" / "bst.sh").read_text()
    assert "bst.sh" in (tmp_path / ".bashrc").read_text()
