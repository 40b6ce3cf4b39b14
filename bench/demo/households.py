"""Households of the demo: what they bought, and what a bundle says of their next purchase."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bst.data.batches import Batch, Examples
from bst.data.windows import TrainingWindows
from bst.run.dataset import Dataset
from bst.training.negatives import Negatives
from export import open_bundle

SHOWN_HOUSEHOLDS = 3
SHOWN_HISTORY = 6
SHOWN_ITEMS = 5
DRAWN = 19  # products beside the next purchase that a click model scores


@dataclass(frozen=True)
class Household:
    """One household of the page: the names of its last purchases, of its recommendations and of its next purchase.

    Attributes:
        heading: what the recommendations are.
        verdicts: what is said of the next purchase where it is one of them, and where it is not.
    """

    about: str
    history: list[str]
    recommended: list[tuple[str, float]]
    bought_next: str
    is_hit: bool
    heading: str = "Recommended"
    verdicts: tuple[str, str] = ("among the ten recommended", "not among the ten")


def recommendations(bundle: Path, dataset: Dataset) -> list[Household]:
    """Recommend for a few households whose whole context is known."""
    opened = open_bundle(bundle)
    _, batch, inputs = _requests(dataset, opened.manifest.model.max_length)
    answer = opened.session("onnxruntime", "top_k")(inputs)
    shown = []
    for place, target in enumerate(dataset.vocabularies.items.raw(batch.targets.numpy()).tolist()):
        item_ids = answer["item_ids"][place].tolist()
        scored = zip(item_ids[:SHOWN_ITEMS], answer["scores"][place].tolist(), strict=False)
        shown.append(
            Household(
                *_bought(dataset, inputs, place),
                recommended=[(_name(dataset, item), score) for item, score in scored],
                bought_next=_name(dataset, target),
                is_hit=target in item_ids,
            )
        )
    return shown


def likeliest(bundle: Path, dataset: Dataset) -> list[Household]:
    """Score the next purchase of a few households among products drawn by popularity."""
    opened, vocabulary = open_bundle(bundle), dataset.vocabularies.items
    examples, batch, inputs = _requests(dataset, opened.manifest.model.max_length)
    windows = TrainingWindows(dataset.sequences, dataset.split.train_stops, opened.manifest.model.max_length)
    drawn = Negatives(windows.item_counts(len(vocabulary)), "popularity").beside(examples, DRAWN, seed=0)
    candidates: NDArray[Any] = vocabulary.raw(drawn)
    times = {name: batch.beside[name].numpy() for name in ("event_time", "request_time") if name in batch.beside}
    session = opened.session("onnxruntime", "score_candidates")
    answer = session({**inputs, **times, "candidates": candidates})["probabilities"]
    shown = []
    for place, (items, chances) in enumerate(zip(candidates.tolist(), answer.tolist(), strict=True)):
        best = sorted(zip(items, chances, strict=True), key=lambda pair: -pair[1])[:SHOWN_ITEMS]
        shown.append(
            Household(
                *_bought(dataset, inputs, place),
                recommended=[(f"{_name(dataset, item)}: {chance:.0%}", chance) for item, chance in best],
                bought_next=_name(dataset, items[0]),
                is_hit=items[0] in [item for item, _ in best],
                heading=f"Likeliest of {DRAWN + 1} products, with their probabilities",
                verdicts=(f"among the {SHOWN_ITEMS} likeliest", f"not among the {SHOWN_ITEMS}"),
            )
        )
    return shown


def print_households(households: list[Household]) -> None:
    for household in households:
        print(f"\n     household: {household.about}")
        print(f"       bought last:  {'; '.join(household.history[-3:])}")
        print(f"       {household.heading.lower()}:  {'; '.join(name for name, _ in household.recommended[:3])}")
        verdict = f" ({household.verdicts[0]})" if household.is_hit else ""
        print(f"       bought next:  {household.bought_next}{verdict}")


def _requests(dataset: Dataset, max_length: int) -> tuple[Examples, Batch, dict[str, Any]]:
    """Choose households whose whole context is known; with their batch, and histories and context by raw ids."""
    split, vocabularies = dataset.split, dataset.vocabularies
    complete = (dataset.sequences.context[split.test.users] > 0).all(axis=1)
    rows = np.flatnonzero(complete)[:: max(int(complete.sum()) // SHOWN_HOUSEHOLDS, 1)][:SHOWN_HOUSEHOLDS]
    batch = split.test.batch(rows, max_length)
    context = {
        name: vocabulary.raw(batch.context.numpy()[:, column])
        for column, (name, vocabulary) in enumerate(vocabularies.context.items())
    }
    examples = Examples(split.test.sequences, split.test.users[rows], split.test.targets[rows])
    return examples, batch, {"history": vocabularies.items.raw(batch.items.numpy()), **context}


def _bought(dataset: Dataset, inputs: dict[str, Any], place: int) -> tuple[str, list[str]]:
    """Describe a household, and name its last purchases."""
    history = inputs["history"][place]
    newest = history[history != dataset.vocabularies.items.padding][-SHOWN_HISTORY:]
    about = ", ".join(
        f"{name.replace('_', ' ')} {values[place]}" for name, values in inputs.items() if name != "history"
    )
    return about, [_name(dataset, item) for item in newest.tolist()]


def _name(dataset: Dataset, item: int) -> str:
    return dataset.vocabularies.items.name(item) or str(item)
