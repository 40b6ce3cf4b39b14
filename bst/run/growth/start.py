"""The start of a training from a run: its ids and weights, under the ids of a new table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bst.config import NUM_GAPS, BSTConfig, DataConfig
from bst.data.interactions import read_interactions
from bst.data.tables.sources.frames import DataFrame
from bst.data.vocabulary import Index, Vocabularies, Vocabulary
from bst.errors import InputError
from bst.model import BST
from bst.run.dataset import Dataset
from bst.run.folder import Run, load_run, run_hash

PADDING, UNKNOWN = 1, 1  # rows of a table before those of its ids
# At the whole mean a new item comes before those that have earned their place: on Amazon Beauty 773 new items of 54,542
# took NDCG@10 from 0.0330 to 0.0326, and at 0.6 of it or none to 0.0330.
SHORTER = 0.5
# What the table of items says of each, which is not learnt.
_OF_ITEMS = ("item_features.values_", "item_features.numbers", "item_features.known")


@dataclass(frozen=True)
class Start:
    """A run that a training goes on from, and its hash (`run_hash`)."""

    run: Run
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Start:
        """Read the run at `path`.

        Raises:
            InputError: it is no run.
        """
        return cls(load_run(path), run_hash(path))

    def require_fits(self, config: BSTConfig) -> None:
        """Refuse a run that is of another form than the model to be trained.

        Raises:
            InputError: sizes, features or the form differ; the message names them.
        """
        mine = self.run.config.model
        if mine.candidate_features or mine.item_rows != mine.num_items + PADDING:
            raise InputError("the run is an imported ranker, and no training goes on from one; train a model anew")
        offences = [
            f"{name}={value!r} (the run has {there!r})"
            for name, value in self._comparable(config).items()
            if value != (there := self._comparable(mine)[name])
        ]
        if offences:
            raise InputError(
                f"--from keeps the model of the run, and here is {', '.join(offences)}; leave that out, or train a new "
                "model without --from"
            )

    @staticmethod
    def _comparable(config: BSTConfig) -> dict[str, object]:
        """Return what must not change: all but the numbers of ids, and the share of what training leaves out."""
        values = config.model_dump(exclude={"num_items", "dropout", "id_dropout"})
        for name in ("context", "event_features", "item_features"):
            values[name] = tuple(feature["name"] for feature in values[name])
        return values

    def fill(self, model: BST, config: BSTConfig, dataset: Dataset) -> int:
        """Fill `model`, just made for `dataset`, with the weights of the run, each id's under its new index.

        A category that is new keeps the row that it was made with. An item that is new begins at half the mean of the
        vectors of the items that come right before it in the training events, and with the mean bias. Where there are
        item features, a new item has no vector of its own yet: its features speak for it.

        Returns:
            how many items are new.
        """
        new, old = model.state_dict(), self.run.model.state_dict()
        filled = {name: tensor for name, tensor in old.items() if not name.startswith(_OF_ITEMS)}
        for name, (old_rows, new_rows) in self._moved(config, dataset.vocabularies).items():
            filled[name] = new[name].clone()
            filled[name][new_rows] = old[name][old_rows]
        items = dataset.vocabularies.items
        places = _places(self.run.vocabularies.items, items)
        added = np.setdiff1d(np.arange(1, len(items) + 1), places)
        self._fill_items(filled, old, places, added, dataset)
        filled |= {name: new[name] for name in new if name.startswith(_OF_ITEMS)}
        model.load_state_dict(filled)
        return len(added)

    def _fill_items(
        self, filled: dict[str, Tensor], old: dict[str, Tensor], places: Index, added: Index, dataset: Dataset
    ) -> None:
        rows = torch.from_numpy(np.concatenate([[0], places]))
        size = len(dataset.vocabularies.items)
        for name, first in {"item_embedding.weight": 0, "output_bias": 0, "output.weight": 1, "output.bias": 1}.items():
            if name not in old:
                continue
            table = torch.zeros(size + 1 - first, *old[name].shape[1:])
            table[rows[first:] - first] = old[name]
            here = torch.from_numpy(added) - first
            if table.dim() == 1:
                table[here] = old[name][1 - first :].mean()
            elif not dataset.item_features and not dataset.item_numbers:
                table[here] = SHORTER * _means_of_those_before(dataset, table, added, first)
            filled[name] = table

    def _moved(self, config: BSTConfig, vocabularies: Vocabularies) -> dict[str, tuple[Tensor, Tensor]]:
        """Return, by name of a table of categories, old rows and the new ones that take their place."""
        mine = self.run.vocabularies
        moved = {
            f"context_embeddings.{place}.weight": _rows(mine.context[name], vocabulary)
            for place, (name, vocabulary) in enumerate(vocabularies.context.items())
        }
        for place, (name, vocabulary) in enumerate(vocabularies.item_features.items()):
            rows = _rows(mine.item_features[name], vocabulary)
            tables = ("embeddings", *(["output_embeddings"] if config.has_output_rows else []))
            moved |= {f"item_features.{table}.{place}.weight": rows for table in tables}
        if mine.events:
            pairs = list(self._event_rows(vocabularies))
            moved["event_embedding.weight"] = (
                torch.cat([old for old, _ in pairs]),
                torch.cat([new for _, new in pairs]),
            )
        return moved

    def _event_rows(self, vocabularies: Vocabularies) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the pairs of rows of each event feature and of the times, which have one table together."""
        old_first = new_first = 0
        for name, vocabulary in vocabularies.events.items():
            old_rows, new_rows = _rows(self.run.vocabularies.events[name], vocabulary)
            yield old_rows + old_first, new_rows + new_first
            old_first += len(self.run.vocabularies.events[name]) + UNKNOWN
            new_first += len(vocabulary) + UNKNOWN
        if self.run.config.model.reads_times:
            yield torch.arange(NUM_GAPS) + old_first, torch.arange(NUM_GAPS) + new_first


def grown_dataset(
    run: Run, interactions: Path | str | DataFrame, data: DataConfig, users: Path | None, items: Path | None
) -> Dataset:
    """Read a table for a training that goes on from `run`: its ids are known too, and numbers keep their scale.

    Raises:
        InputError: a table cannot be read, or its ids are text where those of the run are numbers, or the other way.
    """
    model = run.config.model
    text_items = run.vocabularies.items.dtype == "string"
    table = read_interactions(interactions, data, users, text_items=text_items, times=model.reads_times)
    dataset = replace(Dataset.build(table, beside=run.vocabularies), numbers=model.numbers)
    if items is None:
        return dataset
    return dataset.with_items(items, data, {number.name: number for number in model.item_numbers})


def _places(old: Vocabulary, new: Vocabulary) -> Index:
    """Return the new index of each old id, int64 `[len(old)]`."""
    return new.indices(old.ids.cast(new.ids.dtype))


def _rows(old: Vocabulary, new: Vocabulary) -> tuple[Tensor, Tensor]:
    """Return the old and the new rows of the categories that both have, and of the unknown one: int64 `[n]` each."""
    places = np.concatenate([[0], _places(old, new)])
    kept = np.flatnonzero(places > 0)
    both = np.concatenate([[0], kept])
    return torch.from_numpy(both), torch.from_numpy(places[both])


def _means_of_those_before(dataset: Dataset, table: Tensor, added: Index, first: int) -> Tensor:
    """Return for each of the items `added` the mean over the rows of `table` of those that come right before it in the
    training events, zeros where none does; row 0 is that of item `first`.
    """
    sequences = dataset.sequences
    targets = np.concatenate(list(sequences.before(dataset.split.train_stops)))
    targets = targets[~np.isin(targets, sequences.offsets)]  # the first event of a user follows none
    following, before = sequences.items[targets], sequences.items[targets - 1]
    kept = np.isin(following, added) & ~np.isin(before, added)
    place = torch.from_numpy(np.searchsorted(added, following[kept]))
    sums = torch.zeros(len(added), table.size(1)).index_add_(0, place, table[torch.from_numpy(before[kept]) - first])
    return sums / torch.bincount(place, minlength=len(added)).clamp(min=1).unsqueeze(1)
