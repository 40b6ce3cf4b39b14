"""Registries: values by name, to choose from and to add to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from bst.errors import InputError


class Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """The values of a kind by name, in the order in which they were added.

    Args:
        what: the word for such a value in messages.
    """

    def __init__(self, what: str, values: Iterable[T] = ()) -> None:
        self.what = what
        self._values: dict[str, T] = {}
        for value in values:
            self.add(value)

    def add(self, value: T) -> None:
        """Add a value.

        Raises:
            InputError: there is one of that name.
        """
        if value.name in self._values:
            raise InputError(f"{self.what} {value.name!r} is there already; give another name")
        self._values[value.name] = value

    def remove(self, name: str) -> None:
        """Remove a value; the opposite of `add`."""
        del self._values[self.find(name).name]

    def find(self, name: str) -> T:
        """Look a value up.

        Raises:
            InputError: there is none of that name; the message lists the names.
        """
        if name not in self._values:
            raise InputError(f"{self.what} {name!r} is not known; known: {', '.join(self._values)}")
        return self._values[name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._values)

    def __iter__(self) -> Iterator[T]:
        return iter(self._values.values())

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __len__(self) -> int:
        return len(self._values)
