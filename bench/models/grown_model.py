"""A trained run with a larger catalogue, for measuring the cost of serving it without training it.

The items of the run stay as they are, and so do its users, whose histories are of those. All others are drawn
from a normal law with the mean and the covariance that the trained items have, embedding, output row and bias together:
their output layer has the spectrum of a trained one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from bst.data.vocabulary import Vocabulary
from bst.model import BST, make_model
from bst.run.folder import Run
from bst.run.heldout import Heldout
from bst.system.unfilled import unfilled

CHUNK = 16_384
SPREAD = 1.0  # standard deviation of the logarithm of a drawn length


def grown(run: Run, num_items: int, seed: int = 0) -> Run:
    """Return `run` with a catalogue of `num_items`, at least as many as it has."""
    config = run.config.model.model_copy(update={"num_items": num_items})
    old_count = run.config.model.num_items
    parts = _item_parts(run.model)
    rows = torch.cat([part[-old_count:].reshape(old_count, -1) for part in parts.values()], dim=1).detach()
    grown_parts = {
        name: torch.cat([part.detach(), part.new_empty(num_items - old_count, *part.shape[1:])])
        for name, part in parts.items()
    }
    widths = [part[0].numel() for part in parts.values()]
    mean, factor = rows.mean(dim=0), torch.linalg.cholesky(_covariance(rows)).float()
    source = torch.Generator().manual_seed(seed)
    for start in range(0, num_items - old_count, CHUNK):
        count = min(CHUNK, num_items - old_count - start)
        drawn = mean + torch.randn(count, len(mean), generator=source) @ factor.T
        for part, columns in zip(grown_parts.values(), drawn.split(widths, dim=1), strict=True):
            place = len(part) - (num_items - old_count) + start
            part[place : place + count] = columns.reshape(count, *part.shape[1:])
    with unfilled():
        model = make_model(config)
    model.load_state_dict({**run.model.state_dict(), **grown_parts}, assign=True)
    items = run.vocabularies.items
    vocabularies = replace(run.vocabularies, items=Vocabulary(_more_ids(items.ids, num_items)))
    return replace(
        run, model=model.eval(), config=run.config.model_copy(update={"model": config}), vocabularies=vocabularies
    )


def cut(run: Run, median_length: int | None, seed: int = 0) -> Run:
    """Cut each held-out history to its beginning, of a length drawn from a log-normal law with this median."""
    if median_length is None:
        return run
    items = run.heldout.items
    lengths = np.exp(np.random.default_rng(seed).normal(np.log(median_length), SPREAD, len(items)))
    per_event = [group.name for group in run.config.model.inputs if group.per_event]
    whole = {"items": items, **{name: run.heldout.beside[name] for name in per_event}}
    shorter = {name: torch.zeros_like(values) for name, values in whole.items()}
    for row, (history, length) in enumerate(zip(items, lengths, strict=True)):
        count = min(int((history > 0).sum()), max(1, round(length)))
        for name, values in whole.items():
            shorter[name][row, len(history) - count :] = values[row][history > 0][:count]
    cut_items = shorter.pop("items")
    return replace(run, heldout=Heldout(cut_items, run.heldout.context, None, {**run.heldout.beside, **shorter}))


def _item_parts(model: BST) -> dict[str, Tensor]:
    """Return the parameters with a row an item, by name; the last rows are the items'."""
    parts: dict[str, Tensor] = {"item_embedding.weight": model.item_embedding.weight}
    if model.tied_output:
        return {**parts, "output_bias": model.output_bias}
    return {**parts, "output.weight": model.output.weight, "output.bias": model.output.bias}


def _covariance(rows: Tensor) -> Tensor:
    exact = torch.cov(rows.double().T)
    return exact + torch.eye(len(exact), dtype=torch.float64) * float(exact.trace()) / len(exact) * 1e-6


def _more_ids(ids: pl.Series, count: int) -> pl.Series:
    if ids.dtype == pl.String:
        last = ids[-1]
        more = pl.Series("id", [f"{last}-{number:09}" for number in range(count - len(ids))])
    else:
        more = pl.Series("id", np.arange(ids[-1] + 1, ids[-1] + 1 + count - len(ids)))
    return pl.concat([ids.rename("id"), more])
