"""New items of a trained model: those that no event of the training had, known by their features alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from bst.config import BSTConfig, DataConfig
from bst.data.batches import Examples
from bst.data.items import Items, read_items, read_strangers
from bst.data.tables.sources.frames import DataFrame
from bst.data.vocabulary import Index, Vocabulary
from bst.errors import InputError
from bst.model import make_model
from bst.run.folder import Run
from bst.run.heldout import Heldout
from bst.system.unfilled import unfilled


def add_items(run: Run, table: Path | str | DataFrame, data: DataConfig) -> tuple[Run, tuple[str, ...]]:
    """Add the items of a table that the run does not know; they are scored by their features.

    An item that the run knows keeps its features. A new one has no vector of its own, and the mean bias of the output
    layer. One of which the model knows no feature is not added: nothing would tell it from the others. What the run
    reached on the test was among fewer items, so it does not go along.

    Args:
        data: how the table is read; its item features are those of the run.

    Returns:
        The run with the larger catalogue, and remarks for people.

    Raises:
        InputError: the run has no item features, the table cannot be read, or it has no new item.
    """
    config, old = run.config.model, run.vocabularies
    if not (config.item_features or config.item_numbers):
        raise InputError("the run has no item features, by which new items could be scored; train with --item-features")
    names = (*data.item_features, *data.item_numbers)
    new_ids = read_strangers(old.items, table, data)
    learnt_numbers = {number.name: number for number in config.item_numbers}
    read, strangers = read_items(new_ids, table, data, old.item_features, learnt_numbers), new_ids.ids
    known_values = [feature.values[1:].any(axis=1) for feature in read.features.values()]
    known_values += [~np.isnan(number.values[1:]) for number in read.numbers.values()]
    recognised = np.any(known_values, axis=0)
    if not recognised.any():
        raise InputError(
            f"of no new item, such as {strangers[0]!r}, a feature is known to the run; give a table with "
            f"{', '.join(names)} as in training"
        )
    rows = np.flatnonzero(recognised)
    added, items = _joined(old.items, strangers.filter(recognised), read, rows)
    places = items.indices(old.items.ids)  # the new index of each old one
    widths = [feature.values.shape[1] for feature in read.features.values()]
    model_config = config.model_copy(
        update={
            "num_items": len(items),
            "item_features": tuple(
                feature.model_copy(update={"num_values": max(feature.num_values, width)})
                for feature, width in zip(config.item_features, widths, strict=True)
            ),
        }
    )
    with unfilled():
        model = make_model(model_config)
    state = _grown(run.model.state_dict(), places, len(items))
    _describe(state, model_config, read, rows, added)
    model.load_state_dict(state, assign=True)
    remarks = [f"{len(added):,} new items are scored by {', '.join(names)}"]
    remarks.append(
        "the metrics of the test were those of the smaller catalogue, and are left out: bst evaluate measures"
    )
    if left_out := len(strangers) - len(added):
        remarks.append(f"{left_out:,} others are left out: the run knows none of their features")
    grown = replace(
        run,
        model=model.eval(),
        config=run.config.model_copy(update={"model": model_config}),
        vocabularies=replace(old, items=items),
        heldout=_moved(run.heldout, places),
        metrics=tuple(line for line in run.metrics if "test" not in line),
    )
    return grown, (*remarks, *read.remarks)


def _joined(old: Vocabulary, added: pl.Series, read: Items, rows: Index) -> tuple[Index, Vocabulary]:
    """Join two catalogues; give the indices of the added items beside it."""
    frame = pl.DataFrame(
        {
            "id": pl.concat([old.ids.rename("id"), added.rename("id")]),
            "name": pl.concat(
                [
                    old.names if old.names is not None else pl.Series([None] * len(old), dtype=pl.String),
                    read.names.gather(rows)
                    if read.names is not None
                    else pl.Series([None] * len(added), dtype=pl.String),
                ]
            ),
        }
    ).sort("id")
    named = old.names is not None or read.names is not None
    items = Vocabulary(frame["id"], frame["name"] if named else None)
    return items.indices(added), items


def _describe(state: dict[str, Tensor], config: BSTConfig, read: Items, rows: Index, added: Index) -> None:
    """Fill in what the `rows` of the table, from 0, say of the items `added`."""
    here = torch.from_numpy(added)
    for number, (feature, mine) in enumerate(zip(read.features.values(), config.item_features, strict=True)):
        name = f"item_features.values_{number}"
        state[name] = torch.nn.functional.pad(state[name], (0, mine.num_values - state[name].size(1)))
        state[name][here, : feature.values.shape[1]] = torch.from_numpy(feature.values[1:][rows])
    for column, added_number in enumerate(read.numbers.values()):
        deviations = torch.from_numpy(added_number.values[1:][rows])
        state["item_features.numbers"][here, column] = deviations.nan_to_num()
        state["item_features.known"][here, column] = ~deviations.isnan()


def _grown(state: dict[str, Tensor], places: Index, size: int) -> dict[str, Tensor]:
    """Move the rows of items to their new places; rows between them are 0, biases the mean."""
    at = torch.from_numpy(np.concatenate([[0], places]))
    grown = dict(state)
    for name, tensor in state.items():
        with_padding = name in ("item_embedding.weight", "output_bias") or name.startswith(
            ("item_features.values_", "item_features.numbers", "item_features.known")
        )
        if with_padding or name in ("output.weight", "output.bias"):
            first = 0 if with_padding else 1
            filled = tensor[1 - first :].mean() if tensor.dim() == 1 else 0
            rows = torch.full((size + 1 - first, *tensor.shape[1:]), float(filled)).to(tensor.dtype)
            rows[at[first:] - first] = tensor
            grown[name] = rows
    return grown


def _moved(heldout: Heldout, places: Index) -> Heldout:
    at = np.concatenate([[0], places])
    test = heldout.test
    if test is not None:
        items = at[test.sequences.items].astype(np.int32)
        test = Examples(replace(test.sequences, items=items), test.users, test.targets)
    return replace(heldout, items=torch.from_numpy(at)[heldout.items], test=test)
