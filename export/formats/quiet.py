"""A context that silences torch's exporters and compilers, which print much that is of no use to the user."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Suppress warnings, and messages of `loggers` below errors: on absent packages, old parts, a better CPU.

    Prints are suppressed as well, because the output of a command is its answer: onnxscript before 0.7 prints.
    """
    named = [logging.getLogger(name) for name in loggers]
    levels = [logger.level for logger in named]
    try:
        for logger in named:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(named, levels, strict=True):
            logger.setLevel(level)
