"""The split of histories into events for training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bst.data.batches import Examples
from bst.data.sequences import Sequences
from bst.data.vocabulary import Index


@dataclass(frozen=True)
class Split:
    """The training events, and one target a user in `validation` and in `test`.

    Attributes:
        train_stops: user u trains on `items[offsets[u] : train_stops[u]]`, int64 `[num_users]`.
        too_short: users without a test target; all their events are trained on.
        rule: which event of a user is the test target, in words.
    """

    train_stops: Index
    validation: Examples
    test: Examples
    too_short: int
    rule: str

    @property
    def targets(self) -> dict[str, Examples]:
        return {"validation": self.validation, "test": self.test}


def leave_one_out(sequences: Sequences) -> Split:
    """Take the last event of a user as the test target, the one before it as the validation target.

    Users with fewer than three events have neither. Nothing of a target's future is in its history, but one user's last
    event may be earlier than another's training events; `split_at` keeps times apart.
    """
    ends = sequences.offsets[1:]
    enough = np.diff(sequences.offsets) >= 3
    users = np.flatnonzero(enough)
    return Split(
        train_stops=np.where(enough, ends - 2, ends),
        validation=Examples(sequences, users, ends[users] - 2),
        test=Examples(sequences, users, ends[users] - 1),
        too_short=int((~enough).sum()),
        rule="the last event of each user",
    )


def split_at(sequences: Sequences, before: Index, time: str) -> Split:
    """Train on the events before a time; the first event of a user from then on is the test target.

    The last event before it is the validation target. A target needs an event before it: a user without has none.

    Args:
        before: how many events of each user are earlier, int64 `[num_users]`.
        time: in words.
    """
    starts, ends = sequences.offsets[:-1], sequences.offsets[1:]
    stops = starts + before
    validated, tested = np.flatnonzero(before >= 2), np.flatnonzero((before >= 1) & (stops < ends))
    return Split(
        train_stops=np.where(before >= 2, stops - 1, stops),
        validation=Examples(sequences, validated, stops[validated] - 1),
        test=Examples(sequences, tested, stops[tested]),
        too_short=sequences.num_users - len(tested),
        rule=f"the first event of each user from {time} on",
    )
