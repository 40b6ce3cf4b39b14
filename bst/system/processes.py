"""Worker processes: they end when their parent ends, and leave Ctrl-C to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Literal

from bst.errors import CheckError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
START_METHOD: Literal["spawn", "forkserver"] = "spawn"  # a fresh interpreter, with nothing of this process in it


@contextmanager
def undisturbed_start() -> Iterator[None]:
    """Let the block start processes by `multiprocessing`; each calls `end_with_parent` first.

    Signals wait until the block ends, so that no process starts without its task. The new processes ignore Ctrl-C,
    which a terminal sends to all: their parent ends them.
    """
    with _held_back():  # a mask alone would let another thread of this process take the signal
        resource_tracker.ensure_running()  # where `multiprocessing` starts it, it ends with no signal masked
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # inherited by the new ones
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _held_back() -> Iterator[None]:
    """Hold back the handlers of `SIGNALS` that are written in Python until the block has ended."""
    if threading.current_thread() is not threading.main_thread():  # Python runs handlers in the main thread alone
        yield
        return
    handlers = {
        signal_number: handler for signal_number in SIGNALS if callable(handler := signal.getsignal(signal_number))
    }
    heard: list[int] = []
    holding = True

    def hold(number: int, frame: FrameType | None) -> None:
        if holding:
            heard.append(number)
        else:  # another signal has interrupted the restoring below
            handlers[signal.Signals(number)](number, frame)

    try:
        for signal_number in handlers:
            signal.signal(signal_number, hold)
        yield
    finally:
        holding = False
        for signal_number, handler in handlers.items():
            signal.signal(signal_number, handler)
        for number in heard:
            signal.raise_signal(number)


def end_with_parent() -> None:
    """End this process, whatever it is doing, when the one that started it has ended; and on SIGTERM."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


@contextmanager
def environment(values: dict[str, str], override: bool = False) -> Iterator[None]:
    """Set environment variables for the processes started within; those that the user has set only on `override`."""
    changed = {name: value for name, value in values.items() if override or name not in os.environ}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def context() -> SpawnContext:
    """Return the way in which this package starts processes by `multiprocessing`."""
    return multiprocessing.get_context(START_METHOD)  # type: ignore[return-value]


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module in a fresh process, which ends with the call, also when it fails.

    Raises:
        CheckError: the process was killed, as for want of memory. What `function` raises is raised here.
    """
    ours, theirs = context().Pipe(duplex=False)
    process = context().Process(target=_answer, args=(theirs, function, arguments), daemon=True)
    with undisturbed_start():
        process.start()
    theirs.close()
    try:
        raised, value = ours.recv()
    except EOFError:
        process.join()
        raise CheckError(
            f"the process of {function.__name__} ended with exit code {process.exitcode}, which is -9 where memory "
            "runs out; free some and run the command again"
        ) from None
    finally:
        ours.close()
        process.kill()
        process.join()
    if raised:
        raise value
    return value


def _answer(connection: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    end_with_parent()
    try:
        answer = False, function(*arguments)
    except Exception as error:
        answer = True, error
    connection.send(answer)


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
