"""Processes that do a piece of work for another one: they end when it ends, and leave Ctrl-C to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def undisturbed_start() -> Iterator[None]:
    """Start processes by `multiprocessing` within; each calls `end_with_parent` first.

    Signals wait until the block ends, lest they part a process from what it is to do. Ctrl-C, which a terminal sends to
    all, the new ones never hear: who started them ends them.
    """
    with _held_back():  # a mask alone would let another thread of this process take the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # inherited by the new ones
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _held_back() -> Iterator[None]:
    """Let the handlers of `SIGNALS` that are written in Python run when the block has ended."""
    if threading.current_thread() is not threading.main_thread():  # Python runs handlers in the main thread alone
        yield
        return
    heard: list[int] = []
    held = [one for one in SIGNALS if callable(signal.getsignal(one))]
    handlers = [signal.signal(one, lambda number, frame: heard.append(number)) for one in held]
    try:
        yield
    finally:
        for one, handler in zip(held, handlers, strict=True):
            signal.signal(one, handler)
        for number in heard:
            signal.raise_signal(number)


def end_with_parent() -> None:
    """End this process, whatever it is doing, when the one that started it has ended; and on SIGTERM."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
