"""Progress, for a person who waits. All of it on stderr, and none of it when that is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import track

Tell = Callable[[str], None]


def progress_bar(steps: Iterable[int], total: int) -> Iterable[int]:
    """Show how far `steps` are as a bar while they last."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return steps
    return track(steps, "training", total=total, console=console, transient=True)


@contextmanager
def told_steps() -> Iterator[Tell]:
    """Yield a function that shows the step in hand, in place of the one before."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda step: None
        return
    with console.status("reading") as status:
        yield lambda step: status.update(step)
