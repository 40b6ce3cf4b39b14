"""Output for people: progress on stderr, where that is a terminal, and lines that fit the width of stdout."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import track

Tell = Callable[[str], None]


def progress_bar(steps: Iterable[int], total: int) -> Iterable[int]:
    """Show the progress of `steps` as a bar."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return steps
    return track(steps, "training", total=total, console=console, transient=True)


@contextmanager
def told_steps() -> Iterator[Tell]:
    """Yield a function that shows the current step, in place of the one before."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda step: None
        return
    with console.status("reading") as status:
        yield lambda step: status.update(step)


def width_of_stdout() -> int | None:
    """Return the width of stdout in characters: the terminal's, or that of `COLUMNS`; None where neither is known."""
    if os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None


def wrapped(line: str) -> str:
    """Break a line at blanks where stdout is narrower: a terminal would break it in the middle of a number."""
    width = width_of_stdout()
    if width is None or len(line) <= width:
        return line
    return textwrap.fill(line, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
