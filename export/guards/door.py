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
        complaint: the message for a file of another kind, with a place for `name`.
        before: refuses a file before it is read, by a `ValueError`.
        after: refuses the content.
        errors: the exceptions of its reader for a damaged file.
    """

    complaint: str
    before: Callable[[Path], None]
    after: Callable[[Any], None] = lambda content: None
    errors: tuple[type[Exception], ...] = (Exception,)


SCRIPT = Kind(
    "is not a TorchScript file of bst",
    require_inert,
    require_arithmetic,
    (*UNREADABLE, AttributeError, IndexError, KeyError),
)
# A damaged program may raise any exception, such as SyntaxError.
PROGRAM = Kind("does not load as a torch.export archive with {name!r}", require_plain)
# torch unpacks it into a folder. It is machine code: load none that you would not run as a program.
PACKAGE = Kind("does not load as an AOTInductor package", require_plain, errors=(*UNREADABLE, AssertionError, KeyError))


def load(path: Path, kind: Kind, read: Callable[[str], T], name: str = "") -> T:
    """Load a file by `read`, given its path as text, if the guards of its `kind` accept it.

    Args:
        name: of the requested part of the file, for the message.

    Raises:
        InputError: the file is of another kind, damaged, or holds something that bst does not write.
    """
    try:
        kind.before(path)
        content = read(str(path))
        kind.after(content)
        return content
    except kind.errors as error:
        raise InputError(f"{path} {kind.complaint.format(name=name)} ({reason(error)}); export again") from None
