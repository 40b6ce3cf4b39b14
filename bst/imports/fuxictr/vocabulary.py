"""`feature_vocab.json`, which may have a key twice: a number and its text, with a row each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bst.errors import InputError
from bst.imports.rankers.files import require_text
from bst.imports.rankers.ids import as_id, is_whole_number, shown
from bst.imports.rankers.ranker import Id
from bst.system.files import DATA_BYTES, read_text

PADDING, UNKNOWN = "__PAD__", "__OOV__"
Pairs = list[tuple[str, Any]]


@dataclass(frozen=True)
class Tokens:
    """The tokens of a feature with their rows, in the order of the rows, without padding and unknown.

    Attributes:
        pairs: a token that is a number to one column and text to another is there twice.
        unknown: the row of unknown values.
    """

    pairs: tuple[tuple[str, int], ...]
    unknown: int

    @cached_property
    def numeric(self) -> bool:
        """Whether all tokens are whole numbers of 64 bits, so that raw ids are numbers."""
        return all(is_whole_number(token) for token, _ in self.pairs)

    @cached_property
    def is_doubled(self) -> bool:
        return len({token for token, _ in self.pairs}) < len(self.pairs)

    @cached_property
    def rows(self) -> list[int]:
        """The rows of all tokens and of unknown values, in ascending order."""
        return sorted([self.unknown, *(row for _, row in self.pairs)])

    @property
    def gap(self) -> int | None:
        """The first row after padding that has no token, or two; None where each has one."""
        return next((place for place, row in enumerate(self.rows, 1) if row != place), None)

    @property
    def ids(self) -> list[Id]:
        """The raw id of each row, in the order of the rows."""
        return [self._id(token) for token, _ in self.pairs]

    @property
    def different_ids(self) -> list[Id]:
        return list(dict.fromkeys(self.ids))

    def index(self, second: bool) -> dict[Id, int]:
        """Return the row of each raw id. Of a doubled vocabulary `second` chooses the tokens that came in second: those
        that are text, where the feature that owns the table has numbers.
        """
        pairs: Sequence[tuple[str, int]] = self.pairs
        if self.is_doubled:
            edge = self.pairs.index(self._first_of_second)
            pairs = self.pairs[edge:] if second else self.pairs[:edge]
        return {self._id(token): row for token, row in pairs if token != ""}

    @cached_property
    def doubtful(self) -> int:
        """How many tokens of a doubled vocabulary might be of either kind: none of their neighbours says which."""
        last, first = self._bounds
        return first - last - 1 if self.is_doubled else 0

    @cached_property
    def _bounds(self) -> tuple[int, int]:
        """Return the places of the last token that comes again later, and of the first that came before."""
        places: dict[str, int] = {}
        pairs = [(places.setdefault(token, place), place) for place, (token, _) in enumerate(self.pairs)]
        repeats = [(first, place) for first, place in pairs if first != place]
        return max(first for first, _ in repeats), min(place for _, place in repeats)

    @property
    def _first_of_second(self) -> tuple[str, int]:
        """The first token of those that came in second. Numbers are in their order, so the first that is smaller than
        the one before it is of the others.
        """
        last, first = self._bounds
        place = last + 1
        if self.numeric:
            while place < first and int(self.pairs[place][0]) > int(self.pairs[place - 1][0]):
                place += 1
        return self.pairs[place]

    def _id(self, token: str) -> Id:
        value = as_id(token, self.numeric)
        assert value is not None
        return value


def read_tokens(path: Path) -> dict[str, Tokens]:
    """Read the vocabularies of all features.

    Raises:
        InputError: the file is no table of rows by token and feature.
    """
    try:
        text = read_text(path, DATA_BYTES)
        features = json.loads(text, object_pairs_hook=list)
        require_text(text, features)
        if not isinstance(features, list):
            raise ValueError("it is no table of features")
        tokens = {name: _tokens(name, pairs) for name, pairs in features}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is no vocabulary of FuxiCTR ({error})") from None
    return tokens


def _tokens(name: str, pairs: Any) -> Tokens:
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise ValueError(f"{shown(name)} is no table of rows by token")
    rows: Mapping[str, Any] = dict(pairs)
    for token, row in pairs:
        if isinstance(row, bool) or not isinstance(row, int) or row < 0:
            raise ValueError(f"{shown(name)} has {shown(row)} as the row of {shown(token)}")
    if rows.get(PADDING) != 0 or UNKNOWN not in rows:
        raise ValueError(f"{shown(name)} has no {PADDING} in row 0, or no {UNKNOWN}")
    own = [(token, row) for token, row in pairs if token not in (PADDING, UNKNOWN)]
    return Tokens(tuple(sorted(own, key=lambda pair: pair[1])), rows[UNKNOWN])
