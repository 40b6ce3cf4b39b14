"""The scorer of a unit: rows of users become rows of answers, in few calls of one session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bst.errors import CheckError
from export.batch.columns import Column, columns_of, read_ids, read_lists, read_values
from export.batch.lists import Index, ListColumns, Lists, ids_of
from export.batch.settings import ITEM_IDS, SCORES, UNKNOWN_IDS, ScoreSettings
from export.bundle.folder import Bundle
from export.contract.inputs import Array, Arrays
from export.contract.signatures import PROBABILITIES
from export.sessions.users import UNKNOWN

# The most of a call: what it works on stays in the caches of a core, and more rows take no less time each.
ROWS = 128
SLOTS = 2**10  # of histories, as far as the model reads them; of candidates too, behind a history of their own
ROLES = ("history", "candidates", "exclude")  # columns of ids that are no features
ITEMS_A_SLOT = 128  # of a catalogue of more items than SLOTS times so many, a call has more slots: it reads all weights
NUMBERS = 2**25  # scores that a call computes, float32


@dataclass(frozen=True)
class Users:
    """A unit as arrays.

    Attributes:
        history, candidates, exclude: lists of raw ids.
        values: features of the request, `[rows]`, by name.
        events, candidate_features: lists beside the history and beside the candidates, by name.
        sequences: the other sequences than the history, lists of raw ids by name.
        unknown: int64 `[rows]`, ids of the history, of other sequences and of the candidates that the model does not
            know.
    """

    history: Lists
    candidates: Lists | None
    exclude: Lists | None
    values: Mapping[str, Array]
    events: Mapping[str, Lists]
    candidate_features: Mapping[str, Lists]
    sequences: Mapping[str, Lists]
    unknown: Index


class UserScorer:
    """Scores frames of users. Keep it: loading takes much longer than a call."""

    def __init__(self, bundle: Bundle, settings: ScoreSettings) -> None:
        """Load the signature in ONNX Runtime, with one thread, which never spins: there is none to wait for.

        Args:
            settings: those of `ScoreSettings.of_bundle`.

        Raises:
            InputError: the bundle holds no ONNX, or it cannot run here.
        """
        self.bundle, self.settings, self.manifest = bundle, settings, bundle.manifest
        opened = bundle.recommender(threads=1) if settings.candidates is None else bundle.scorer(threads=1)
        self.session = opened.session
        self.columns = columns_of(self.manifest, settings)
        config, top_k = self.manifest.model, self.manifest.settings.top_k
        self.roles = (*ROLES, *(sequence.name for sequence in config.sequences))
        self.counts_padding = config.padding == "counted"
        # What the model cuts off need not be padded and copied. Items that are left out may stand anywhere.
        whole = (settings.candidates is None and top_k.exclude_history) or config.longer_histories == "oldest"
        self.longest = None if whole or self.counts_padding else config.max_length

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the input that are read."""
        return (self.settings.user, *(column.name for column in self.columns.values()))

    def dtypes(self) -> dict[str, type[pl.DataType]]:
        """Return the columns of lists in the output, with the dtypes of their elements."""
        items: type[pl.DataType] = pl.Int64 if self.manifest.items.dtype == "int64" else pl.String
        numbers = [SCORES, *([PROBABILITIES] if PROBABILITIES in self.session.signature.output_names else [])]
        return {ITEM_IDS: items, **dict.fromkeys(numbers, pl.Float32)}

    def score(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Score a row a user.

        Args:
            frame: the columns `names`.

        Returns:
            The column of users as it is; `item_ids` and `scores` (and `probabilities` of a click model), lists, best
            first; `unknown_ids`, UInt32. In the order of `frame`.

        Raises:
            InputError: a value is none of its column, or lists of a row are of different lengths.
            CheckError: the runtime refuses a call.
        """
        users = self.read(frame)
        answers = ListColumns(len(frame), self.dtypes())
        for rows in self._batches(users):
            self._answer(users, rows, answers)
        lists = answers.frame()
        unknown = pl.Series(UNKNOWN_IDS, users.unknown, dtype=pl.UInt32)
        return pl.DataFrame([frame[self.settings.user], *lists, unknown])

    def read(self, frame: pl.DataFrame) -> Users:
        """Read a frame as arrays; see `score`."""
        items = self.bundle.vocabularies.items
        ids = {
            role: ids_of(read_ids(frame[column.name], column), items)
            for role, column in self.columns.items()
            if role in self.roles
        }
        history = ids["history"].lists
        lists, values = {}, {}
        for name, column in self._features():
            if column.in_lists:
                beside = "history" if self._is_of_events(name) else "candidates"
                named = self.columns[beside].name
                lists[name] = read_lists(frame[name], column, ids[beside].lists.lengths, named)
            else:
                values[name] = read_values(frame[name], column)
        events = {name: rows for name, rows in lists.items() if self._is_of_events(name)}
        sequences = {name: ids[name] for name in ids if name not in ROLES}
        unknown = ids["history"].unknown + (ids["candidates"].unknown if "candidates" in ids else 0)
        unknown = sum((own.unknown for own in sequences.values()), start=unknown)
        if self.longest is not None:
            history = history.newest(self.longest)
            events = {name: rows.newest(self.longest) for name, rows in events.items()}
        return Users(
            history,
            candidates=ids["candidates"].lists if "candidates" in ids else None,
            exclude=ids["exclude"].lists if "exclude" in ids else None,
            values=values,
            events=events,
            candidate_features={name: rows for name, rows in lists.items() if name not in events},
            sequences={name: own.lists for name, own in sequences.items()},
            unknown=unknown,
        )

    def _features(self) -> Iterator[tuple[str, Column]]:
        return ((name, self.columns[name]) for name in self.columns if name not in self.roles)

    def _is_of_events(self, name: str) -> bool:
        return any(group.per_event and name in group.names(self.manifest.model) for group in self.manifest.model.inputs)

    def _batches(self, users: Users) -> Iterator[Index]:
        """Part the rows into calls: sorted by the length of the history, so that little is padded. Rows without
        candidates are in none.
        """
        lengths = users.history.lengths
        order = np.argsort(lengths, kind="stable")
        widths = np.ones(len(lengths), dtype=np.int64)
        if users.candidates is not None:
            widths = users.candidates.lengths
            order = np.lexsort((widths, lengths))
            order = order[widths[order] > 0]
        start = 0
        while start < len(order):
            stop = start + self._fitting(lengths, widths, order[start : start + ROWS])
            yield order[start:stop]
            start = stop

    def _fitting(self, lengths: Index, widths: Index, rows: Index) -> int:
        """Return how many of `rows` fit into one call; at least one."""
        counts, config = np.arange(1, len(rows) + 1), self.manifest.model
        length = np.maximum.accumulate(np.clip(lengths[rows], 1, config.max_length))
        width = np.maximum.accumulate(widths[rows])
        behind_each = self.settings.candidates is not None and not config.scores_catalogue and not config.history_once
        slots = counts * (length * width if behind_each else length + width)
        scored = config.num_items if self.settings.candidates is None else 1
        fits = (slots <= max(SLOTS, scored // ITEMS_A_SLOT)) & (counts * scored <= NUMBERS)
        if self.counts_padding:
            fits &= lengths[rows] == lengths[rows[0]]
        return max(1, int(fits.argmin()) if not fits.all() else len(rows))

    def _answer(self, users: Users, rows: Index, answers: ListColumns) -> None:
        inputs, excluded = self.inputs(users, rows), self._excluded(users, rows)
        if users.candidates is None:
            most = 0 if users.exclude is None else int(users.exclude.lengths[rows].max())
            count = self.settings.count_with(most, self.manifest)
            if self.session.signature.takes("k"):
                inputs["k"] = np.array([count])
        answer = dict(self.session.answer(inputs))
        ids = inputs["candidates"] if users.candidates is not None else answer[ITEM_IDS]
        scores = answer[SCORES]
        if np.isnan(scores).any():
            raise CheckError(f"{self.session.signature.name} gives NaN; bst verify the bundle, and export again")
        kept = np.isfinite(scores)  # -inf: nothing is left, or a candidate that the model cannot score
        if users.candidates is not None:
            order = np.argsort(-scores, axis=1, kind="stable")
            ids, scores, kept = (np.take_along_axis(values, order, axis=1) for values in (ids, scores, kept))
            if PROBABILITIES in answer:
                answer[PROBABILITIES] = np.take_along_axis(answer[PROBABILITIES], order, axis=1)
        if excluded is not None:
            kept &= ~_is_in(ids, excluded)
        if self.settings.k is not None:
            kept &= kept.cumsum(axis=1) <= self.settings.k
        columns = {ITEM_IDS: ids, SCORES: scores}
        if PROBABILITIES in answer:
            columns[PROBABILITIES] = answer[PROBABILITIES]
        answers.add(rows, kept, columns)

    def _excluded(self, users: Users, rows: Index) -> Array | None:
        if users.exclude is None:
            return None
        return _rectangle(users.exclude, rows, self.manifest.items.padding, in_front=False)

    def inputs(self, users: Users, rows: Index) -> Arrays:
        """Make the inputs of one call for `rows` of the users, but for `k`; shorter histories are padded in front."""
        length = max(1, int(users.history.lengths[rows].max()))
        inputs = {"history": users.history.rectangle(rows, length, self.manifest.items.padding, in_front=True)}
        nothing: dict[str, Sequence[Any]] = {"request": (len(rows),), "event": (len(rows), length)}
        nothing["sequence"] = (len(rows), 1)
        groups = list(self.manifest.model.inputs)
        if users.candidates is not None:
            inputs["candidates"] = _rectangle(users.candidates, rows, self.manifest.items.padding, in_front=False)
            nothing["candidate"] = inputs["candidates"].shape
            groups += self.manifest.model.candidate_inputs
        for group in groups:
            facts = self.manifest.vocabularies_of(group)
            for name in group.names(self.manifest.model):
                unknown = facts[name].padding if name in facts else UNKNOWN[group.holds]
                if name in users.values:
                    inputs[name] = users.values[name][rows]
                elif name in users.events:
                    inputs[name] = users.events[name].rectangle(rows, length, unknown, in_front=True)
                elif name in users.sequences:
                    inputs[name] = _rectangle(users.sequences[name], rows, unknown, in_front=True)
                elif name in users.candidate_features:
                    inputs[name] = _rectangle(users.candidate_features[name], rows, unknown, in_front=False)
                else:
                    dtype = np.float32 if group.holds == "numbers" else object if isinstance(unknown, str) else np.int64
                    inputs[name] = np.full(nothing[group.of], unknown, dtype=dtype)
        return inputs


def _rectangle(lists: Lists, rows: Index, filling: Any, *, in_front: bool) -> Array:
    return lists.rectangle(rows, max(1, int(lists.lengths[rows].max())), filling, in_front=in_front)


def _is_in(ids: Array, excluded: Array) -> NDArray[np.bool_]:
    """Mark the ids that stand in the same row of `excluded` `[rows, any]`."""
    marks = np.zeros(ids.shape, dtype=np.bool_)
    for column in range(excluded.shape[1]):
        marks |= ids == excluded[:, column : column + 1]
    return marks
