"""The sequences of items that a click model reads besides the history."""

from __future__ import annotations

from typing import Literal

from bst.config.inputs import InputGroup, Named
from bst.config.values import Positive


class ItemSequence(Named):
    """Another sequence of items of a request than the history, such as those that were skipped. A click model reads it
    by an encoder of its own, behind which the candidate stands as well.

    Attributes:
        dim, ff_width, max_length, places, longer_histories, candidate_vectors: as those of `BSTConfig`, which are of
            the history. All else that decides an encoder is the same for all sequences.
    """

    kind = "sequence"
    dim: Positive
    ff_width: Positive
    max_length: Positive
    places: Literal["newest", "oldest", "none"]
    longer_histories: Literal["newest", "oldest"]
    candidate_vectors: Literal["shared", "own"]

    @property
    def group(self) -> InputGroup:
        """The input that it is: a group of its own, since it has its own length."""
        return InputGroup(self.name, "items", of="sequence", stacked=False, names=lambda config: (self.name,))
