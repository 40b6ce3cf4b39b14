"""The command `bst`: subcommands come from the entry-point group `bst.commands`, so that no package imports upwards."""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from importlib.metadata import EntryPoint, entry_points
from itertools import pairwise
from types import FrameType
from typing import Annotated, Any

import typer

from bst import __version__
from bst.errors import CheckError, InputError, one_line
from bst.system.commands import Group, build_group

GROUP = "bst.commands"
# In the order of use; commands of other packages follow by name.
ORDER = (
    *("demo", "prepare", "train", "config", "evaluate", "add-items", "import"),
    *("export", "verify", "recommend", "score", "serve", "bench", "compare"),
)
HEARD: list[int] = []  # signals that are to end this process


class Terminated(BaseException):
    """The signal SIGTERM, as an exception."""


def build_app() -> Group:
    """Collect the subcommands of every installed package."""

    def place(point: EntryPoint) -> tuple[int, str]:
        return (ORDER.index(point.name) if point.name in ORDER else len(ORDER), point.name)

    points = sorted(entry_points(group=GROUP), key=place)
    summary = "Train a Behaviour Sequence Transformer, export it once, run it anywhere."
    return build_group(_root, points, name="bst", help=summary)


def _root(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if show_version:
        print(f"bst {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 a check failed, 2 bad input or misuse, 130 Ctrl-C, 143 SIGTERM.

    All but the first with one line on stderr.
    """
    _heed_signals()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold bytes that are not text
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code instead of exiting."""
    with warnings.catch_warnings():
        warnings.showwarning = _one_line_warning
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        except BaseException:
            if not HEARD:
                raise
            return _fail("", 1)


def _run(arguments: list[str]) -> int:
    try:
        code = _typed(arguments)
    except typer.Abort:
        return _fail("interrupted", 130)
    except typer.Exit as error:
        return error.exit_code
    except typer.TyperException as error:
        return _fail(f"{error.format_message()}{_given(error, arguments)} (see --help)", 2)
    except InputError as error:
        return _fail(str(error), 2)
    except CheckError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        if HEARD:
            raise
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  the reader of stdout has gone
        return 0
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        message = f"{name}{error.strerror or error}; no file was left half-written; fix it and run the command again"
        return _fail(message, 2, alone=True)
    if code == 130:  # typer's exit code for Ctrl-C, without a message
        return _fail("interrupted", 130)
    return code if isinstance(code, int) else 0


def _typed(arguments: list[str]) -> Any:
    """Run the command by typer, and write out its messages."""
    try:
        code = build_app().main(args=arguments, prog_name="bst", standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # typer would turn it into exit code 1
            raise error.__context__ from None
        if not isinstance(error.code, int):
            raise
        return error.code  # typer's exit after shell completion
    return code


def _heed_signals() -> None:
    """Make SIGTERM end the command as Ctrl-C does, with nothing left half-written.

    Processes of torchrun wait for one another in C++, where Python handles no signal: SIGTERM ends them at once.
    """
    if "LOCAL_RANK" in os.environ:
        return
    for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is default:  # else the parent process set it to be ignored
            signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    HEARD.append(number)
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _given(error: typer.TyperException, arguments: list[str]) -> str:
    """Quote the value of the option that an error is about, which the parser leaves out."""
    names = getattr(getattr(error, "param", None), "opts", [])
    for option, value in pairwise(arguments):
        if option in names:
            return f", got {value!r}"
    return ""


def _fail(message: str, code: int, alone: bool = False) -> int:
    if HEARD:  # libraries in Rust turn the raised exception into a panic, and readers into bad input
        message, code = ("interrupted", 130) if HEARD[-1] == signal.SIGINT else ("terminated", 143)
    _tell("error", message, alone)
    return code


def _one_line_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _tell("warning", str(message))


def _tell(kind: str, message: str, alone: bool = False) -> None:
    """Print one line. An error that all processes of torchrun share is printed by the first alone; one that a process
    may have `alone`, by each with its number."""
    rank = os.environ.get("LOCAL_RANK", "0")
    if rank == "0" or alone:
        print(f"{kind}:", *([f"[rank {rank}]"] if rank != "0" else []), one_line(message), file=sys.stderr)
