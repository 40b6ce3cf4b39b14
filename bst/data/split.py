"""The split of histories into events for training, validation and test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bst.config import EVENT_TIME, REQUEST_TIME
from bst.data.batches import Examples
from bst.data.impressions import Impressions
from bst.data.interactions import Earlier, Labels
from bst.data.sequences import Sequences
from bst.data.vocabulary import Index
from bst.errors import InputError

HELD_OUT = 0.1  # of the impressions of a log are the test, and of those before it the validation


@dataclass(frozen=True)
class Split:
    """The training events, and one target a user in `validation` and in `test`; of a log of impressions, the requests
    of three stretches of time.

    Attributes:
        train_stops: user u trains on `items[offsets[u] : train_stops[u]]`, int64 `[num_users]`.
        too_short: users without a test target; all their events are trained on.
        rule: which event of a user is the test target, in words.
        requests: those that are trained on, of a log; None of a table of events.
    """

    train_stops: Index
    validation: Examples
    test: Examples
    too_short: int
    rule: str
    requests: Impressions | None = None

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


def split_log(rows: Sequences, labels: Labels, earlier: Earlier | None) -> Split:
    """Split a log of impressions by time, for all users alike.

    The history of an impression is what its user clicked at earlier times: impressions of one time are one request,
    and see nothing of one another. Impressions that were not clicked are part of no history. The last tenth of the
    impressions is the test, or those from `earlier.time` on; the last tenth of those before is the validation.
    A user's first impressions have an empty history, and count as the others do.

    Args:
        rows: the impressions, as if all were events.

    Raises:
        InputError: there are not enough different times, or a part lacks clicks, other impressions, or histories.
    """
    users = np.repeat(np.arange(rows.num_users), np.diff(rows.offsets))
    validated_from, tested_from = _cuts(rows, labels, earlier)
    clicks, stops = _clicks_before(rows, labels, users)
    beside = {}
    if "numbers" in rows.beside:
        beside["numbers"] = rows.numbers_of(users, np.arange(len(users)))
    if EVENT_TIME in rows.beside:
        beside[REQUEST_TIME] = rows.beside[EVENT_TIME]
    context = rows.context_of(users, np.arange(len(users)))
    stretches = {
        "training": labels.moments < validated_from,
        "validation": (labels.moments >= validated_from) & (labels.moments < tested_from),
        "test": labels.moments >= tested_from,
    }
    parts = {
        name: Impressions.gather(
            *(clicks, users[part], stops[part], context[part]),
            {kind: values[part] for kind, values in beside.items()},
            *(rows.items[part], labels.clicked[part]),
        )
        for name, part in stretches.items()
    }
    _require_parts(parts, labels, (validated_from, tested_from))
    trained = np.bincount(users[stretches["training"] & labels.clicked], minlength=rows.num_users)
    return Split(
        train_stops=clicks.offsets[:-1] + trained,
        validation=parts["validation"],
        test=parts["test"],
        too_short=rows.num_users - len(np.unique(parts["test"].users)),
        rule=f"the clicks from {labels.times[tested_from]} on",
        requests=parts["training"],
    )


def _cuts(rows: Sequences, labels: Labels, earlier: Earlier | None) -> tuple[int, int]:
    """Choose the first moments of validation and test."""
    before = np.cumsum(np.bincount(labels.moments))  # up to and including each moment
    if earlier is None:
        tested_from = _nearest(before[1:-1], (1 - HELD_OUT) * len(labels.moments)) + 2
    else:
        places = np.arange(len(labels.moments)) - np.repeat(rows.offsets[:-1], np.diff(rows.offsets))
        is_earlier = places < np.repeat(earlier.counts, np.diff(rows.offsets))
        tested_from = int(labels.moments[is_earlier].max(initial=-1)) + 1
    if not 2 <= tested_from < len(before):
        rule = "the last tenth of the impressions is the test" if earlier is None else f"--split-at {earlier.time}"
        raise InputError(
            f"{len(before)} different times, {min(tested_from, len(before))} of them before the test ({rule}); a log "
            "is split by time into training, validation and test: give three times or more, or another --split-at"
        )
    return _nearest(before[: tested_from - 1], (1 - HELD_OUT) * before[tested_from - 1]) + 1, tested_from


def _nearest(counts: Index, count: float) -> int:
    return int(np.abs(counts - count).argmin()) if len(counts) else -1


def _clicks_before(rows: Sequences, labels: Labels, users: Index) -> tuple[Sequences, Index]:
    """Return the clicks of all users, and for each impression how many stand before its history ends: a position in
    the items of the clicks.
    """
    count_before = np.concatenate([[0], np.cumsum(labels.clicked)])
    is_first = np.ones(len(users), dtype=np.bool_)  # of its request
    is_first[1:] = (np.diff(users) != 0) | (np.diff(labels.moments) != 0)
    firsts = np.flatnonzero(is_first)
    stops = np.repeat(count_before[firsts], np.diff(firsts, append=len(users)))
    beside = {name: values[labels.clicked] for name, values in rows.beside.items() if name != "numbers"}
    no_context = np.zeros((rows.num_users, 0), dtype=np.int32)
    return Sequences(rows.items[labels.clicked], count_before[rows.offsets], no_context, beside), stops


def _require_parts(parts: Mapping[str, Impressions], labels: Labels, cuts: tuple[int, int]) -> None:
    stretch = f"trained on before {labels.times[cuts[0]]}, validated before {labels.times[cuts[1]]}, then tested"
    counts = {name: (int(part.clicked.sum()), len(part.clicked)) for name, part in parts.items()}
    for name, (clicks, impressions) in counts.items():
        if clicks in (0, impressions) or (name != "training" and not parts[name].can_be_compared):
            raise InputError(
                f"the {name} part of the log has {clicks:,} clicks among {impressions:,} impressions, and no user with "
                f"both labels ({stretch}); give a longer log, or another --split-at"
            )
    if not parts["test"].lengths.any():
        raise InputError(
            f"no user clicked before an impression of the test ({stretch}); give a longer log, or another --split-at"
        )
