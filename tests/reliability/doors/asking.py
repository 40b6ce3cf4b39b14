"""Ask a row of the reliability page: a command in this process or in its own, a line of Python, or a client."""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from bst.cli import run
from tests.reliability.doors.bad_input import NOT_ONE_LINE, Answer, Ask, escaped, unescaped

SECONDS = 30  # after which something hangs


class HangingError(BaseException):
    """Nothing that is asked may catch it."""


def ask_command(given: str) -> Answer:
    """Run `bst ...` in this process."""
    program, *arguments = words(given)
    assert program == "bst", given
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), limited(), warnings.catch_warnings():
        warnings.simplefilter("default")
        try:
            code = str(run(arguments))
        except (Exception, HangingError) as error:  # a person would see a traceback
            return Answer("traceback", one_line(f"{type(error).__name__}: {error}"))
    return Answer(code, told(code, err.getvalue()), out.getvalue())


def ask_process(given: str) -> Answer:
    """Run `bst ...` as its user does."""
    command = [sys.executable, "-m", *words(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    code = str(done.returncode)
    return Answer(code, told(code, done.stderr), done.stdout)


def ask_client(client: Callable[..., tuple[int, Any, str]]) -> Ask:
    """Run `CLIENT ...` with the client in its place."""

    def ask(given: str) -> Answer:
        program, *arguments = words(given)
        assert program == "CLIENT", given
        code, value, err = client(*arguments)
        return Answer(str(code), told(str(code), err), value)

    return ask


def ask_python(names: dict[str, Any]) -> Ask:
    """Evaluate an expression, with `names` at hand."""

    def ask(given: str) -> Answer:
        with limited(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return Answer("answers", "", eval(given, names))
            except (Exception, HangingError) as error:
                return Answer(type(error).__name__, one_line(str(error)))

    return ask


def words(given: str) -> list[str]:
    return [unescaped(one) for one in shlex.split(given)]


def told(code: str, stderr: str) -> str:
    """What stderr says besides warnings: of an error, which must be one line, without its first word."""
    lines = [line for line in stderr.split("\n") if line and not line.startswith("warning:")]
    if code != "0" and (len(lines) != 1 or not lines[0].startswith("error: ")):
        return one_line(f"{NOT_ONE_LINE}: {' / '.join(lines)}")
    return one_line(" / ".join(lines).removeprefix("error: "))


def one_line(text: str) -> str:
    """Write text without the path of the folder that rows are asked in."""
    here = str(Path.cwd())
    return escaped(" ".join(text.replace(f"{here}/", "").replace(here, "HERE").split()))


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Interrupt what hangs, as far as Python can."""

    def stop(*_: object) -> None:
        raise HangingError(f"nothing came back in {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def state_of(folder: Path, text: str) -> dict[str, tuple[int, int]]:
    """Every path in a folder, and below those that `text` names, with size and time of change."""
    found = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            stat = os.lstat(path)
            found[path] = (stat.st_size, stat.st_mtime_ns)
        if parent == str(folder):
            folders[:] = [name for name in folders if name in text]
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two answers are equal: text and ids exactly, scores but for rounding."""
    if isinstance(one, dict):
        return list(one) == list(other) and same(list(one.values()), list(other.values()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, str):
        return one == other
    first, second = (np.asarray(value.detach() if isinstance(value, Tensor) else value) for value in (one, other))
    if first.shape != second.shape or first.dtype.kind != second.dtype.kind:
        return False
    close = np.allclose(first, second, rtol=1e-5, atol=1e-6) if first.dtype.kind == "f" else (first == second).all()
    return bool(close)
