"""The one function through which torch loads a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bst.errors import InputError, reason
from export.guards.archives import UNREADABLE, require_arithmetic, require_inert, require_plain

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        told: what messages say of a file that is none, with a place for what was asked for in it.
        before: refuses a file unread, by a `ValueError`.
        after: refuses what was read.
        errors: what its reader raises for a file that is spoilt.
    """

    told: str
    before: Callable[[Path], None]
    after: Callable[[Any], None] = lambda found: None
    errors: tuple[type[Exception], ...] = (Exception,)


SCRIPT = Kind(
    "is not a TorchScript file of bst",
    require_inert,
    require_arithmetic,
    (*UNREADABLE, AttributeError, IndexError, KeyError),
)
# A spoilt program ends in any exception, as SyntaxError of what torch makes of it.
PROGRAM = Kind("does not load as a torch.export archive with {name!r}", require_plain)
# torch unpacks it into a folder. It is machine code: load none that you would not run as a program.
PACKAGE = Kind("does not load as an AOTInductor package", require_plain, errors=(*UNREADABLE, AssertionError, KeyError))


def load(path: Path, kind: Kind, read: Callable[[str], T], name: str = "") -> T:
    """Load a file by `read`, given its path as text, if the guards of its `kind` accept it.

    Args:
        name: what is asked for in the file, for the message.

    Raises:
        InputError: the file is of another kind, damaged, or holds what none that bst writes does.
    """
    try:
        kind.before(path)
        found = read(str(path))
        kind.after(found)
        return found
    except kind.errors as error:
        raise InputError(f"{path} {kind.told.format(name=name)} ({reason(error)}); export again") from None
