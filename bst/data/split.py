"""The split of histories: what is trained on, what decides which epoch is best, what is measured at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bst.data.batches import Examples
from bst.data.sequences import Sequences
from bst.data.vocabulary import Index


@dataclass(frozen=True)
class Split:
    """Leave-one-out: the last event of a user is the test target, the one before it the validation target.

    `too_short` counts the users with fewer than three events: they are trained on, and predicted in neither.
    """

    train_stops: Index
    validation: Examples
    test: Examples
    too_short: int


def leave_one_out(sequences: Sequences) -> Split:
    """Split `sequences` (see `Split`); nothing of a target's future is in its history or in training."""
    ends = sequences.offsets[1:]
    enough = np.diff(sequences.offsets) >= 3
    users = np.flatnonzero(enough)
    return Split(
        train_stops=np.where(enough, ends - 2, ends),
        validation=Examples(sequences, users, ends[users] - 2),
        test=Examples(sequences, users, ends[users] - 1),
        too_short=int((~enough).sum()),
    )
