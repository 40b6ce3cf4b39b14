"""Problems of a table: collected while it is read, and reported together in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bst.errors import InputError, one_line


class Problems:
    """The problems of the table at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.messages: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep an `InputError` of the block for later."""
        try:
            yield
        except InputError as error:
            self.messages.append(str(error))

    def tell(self) -> None:
        """Refuse the table if there is a problem.

        Raises:
            InputError: one problem as it was raised, several with numbers.
        """
        if len(self.messages) == 1:
            raise InputError(self.messages[0])
        if self.messages:
            name = one_line(str(self.path))
            bare = (message.removeprefix(name).removeprefix(":").strip() for message in self.messages)
            numbered = "; ".join(f"({number}) {message}" for number, message in enumerate(bare, 1))
            raise InputError(f"{self.path}: {len(self.messages)} problems: {numbered}")
