"""The table of a training as indices: its sequences, their split, and the vocabularies of raw ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bst.config import DataConfig, ItemNumber, Number
from bst.data.facts import TableFacts
from bst.data.impressions import Impressions, ImpressionWindows, Windows
from bst.data.interactions import Earlier, Interactions, Labels
from bst.data.items import ItemFeatureValues, ItemNumberValues, mean_and_deviation, read_items
from bst.data.leaks import require_no_item_columns
from bst.data.prepared import Prepared
from bst.data.sequences import Sequences, fit_vocabularies, to_sequences
from bst.data.split import Split, leave_one_out, split_at, split_log
from bst.data.tables.sources.frames import DataFrame
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.data.windows import TrainingWindows
from bst.run.quality import Baselines


@dataclass(frozen=True)
class Dataset:
    """The interactions as indices, their split, and the vocabularies of their raw ids.

    Attributes:
        sequences: the histories; of a log of impressions those of the clicks.
        facts: counts of the table, where there was one.
        event_context: the context features that change from event to event.
        item_features: of every item, by name.
        item_numbers: of every item, by name.
        numbers: of the requests, with the mean and deviation that they have in the training events.
    """

    sequences: Sequences
    split: Split
    vocabularies: Vocabularies
    facts: TableFacts | None = None
    event_context: tuple[str, ...] = ()
    item_features: Mapping[str, ItemFeatureValues] = field(default_factory=dict)
    item_numbers: Mapping[str, ItemNumberValues] = field(default_factory=dict)
    numbers: tuple[Number, ...] = ()

    @classmethod
    def build(
        cls,
        interactions: Interactions,
        vocabularies: Vocabularies | None = None,
        *,
        beside: Vocabularies | None = None,
    ) -> Dataset:
        """Index and split; the vocabularies are fitted unless those of a trained model are given.

        Args:
            beside: vocabularies whose ids are part of those that are fitted.

        Raises:
            InputError: a context feature of a model to be trained belongs to the item (see `bst.data.leaks`).
        """
        if vocabularies is None:
            of_events, events = interactions.event_context, interactions.events
            kinds = (interactions.context, interactions.numbers)
            require_no_item_columns(
                lambda rows, columns: events.lazy().filter(rows).select(columns),
                len(events),
                *([name for name in names if name in of_events] for names in kinds),
            )
            vocabularies = fit_vocabularies(interactions)
            vocabularies = beside.joined(vocabularies) if beside is not None else vocabularies
        sequences = to_sequences(interactions, vocabularies)
        split = _split(sequences, interactions.labels, interactions.earlier)
        numbers = _numbers(interactions.numbers, sequences, split)
        return cls(
            *(split.test.sequences, split, vocabularies, interactions.facts, interactions.event_context),
            numbers=numbers,
        )

    @classmethod
    def of_prepared(cls, prepared: Prepared, *, times: bool) -> Dataset:
        """Map prepared data and split it: the dataset that `build` makes of its table.

        Args:
            times: with the times of events, for a model that reads them.
        """
        data, sequences = prepared.manifest.data, prepared.sequences(times=times)
        split = _split(sequences, None, prepared.earlier)
        return cls(
            *(
                sequences,
                split,
                prepared.vocabularies,
                prepared.manifest.facts(times=times),
                prepared.manifest.event_context,
            ),
            numbers=_numbers(data.numbers, sequences, split),
        )

    def with_items(
        self,
        items: Path | str | DataFrame,
        config: DataConfig,
        learnt_numbers: Mapping[str, ItemNumber] | None = None,
    ) -> Dataset:
        """Return the dataset with names and features of its items from a table, which travel with the model; see
        `bst.data.items.read_items`.
        """
        table = read_items(self.vocabularies.items, items, config, learnt_numbers=learnt_numbers)
        facts = self.facts and replace(self.facts, remarks=(*self.facts.remarks, *table.remarks))
        vocabularies = Vocabularies(
            Vocabulary(self.vocabularies.items.ids, table.names),
            self.vocabularies.context,
            {name: feature.vocabulary for name, feature in table.features.items()},
            self.vocabularies.events,
        )
        return replace(
            self, vocabularies=vocabularies, facts=facts, item_features=table.features, item_numbers=table.numbers
        )

    def item_values(self) -> tuple[list[Tensor], Tensor | None]:
        """Return the features and numbers of the items as `ItemFeatures.set_values` takes them."""
        numbers = [torch.from_numpy(number.values) for number in self.item_numbers.values()]
        features = [torch.from_numpy(feature.values) for feature in self.item_features.values()]
        return features, torch.stack(numbers, dim=1) if numbers else None

    @property
    def arrays(self) -> list[NDArray[Any]]:
        """All that a training reads, in a fixed order."""
        sequences = self.sequences
        arrays: list[NDArray[Any]] = [sequences.items, sequences.offsets, sequences.context]
        arrays += [sequences.beside[name] for name in sorted(sequences.beside)]
        if (requests := self.split.requests) is not None:
            for part in (requests, *self.split.targets.values()):
                arrays += part.arrays if isinstance(part, Impressions) else []
        arrays += [feature.values for feature in self.item_features.values()]
        return arrays + [number.values for number in self.item_numbers.values()]

    def windows(self, max_length: int) -> Windows:
        """Return the training examples, with histories of at most `max_length` events."""
        if self.split.requests is not None:
            return ImpressionWindows(self.split.requests, max_length)
        return TrainingWindows(self.sequences, self.split.train_stops, max_length)

    @property
    def baselines(self) -> Baselines:
        return Baselines(self.sequences, self.split, len(self.vocabularies.items))


def _split(sequences: Sequences, labels: Labels | None, earlier: Earlier | None) -> Split:
    if labels is not None:
        return split_log(sequences, labels, earlier)
    return leave_one_out(sequences) if earlier is None else split_at(sequences, earlier.counts, earlier.time)


def _numbers(names: Sequence[str], sequences: Sequences, split: Split) -> tuple[Number, ...]:
    """Measure the mean and the deviation of each number over the training events, or the training impressions."""
    if not names:
        return ()
    values = sequences.beside["numbers"]
    if split.requests is not None:
        values = np.repeat(split.requests.beside["numbers"], split.requests.counts, axis=0)
    elif len(values) == len(sequences.items):
        values = np.concatenate([values[events] for events in sequences.before(split.train_stops)])
    return tuple(
        Number(name=name, mean=mean, deviation=deviation)
        for name, (mean, deviation) in zip(names, map(mean_and_deviation, values.T), strict=True)
    )
