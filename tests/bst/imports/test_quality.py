"""The quality of an imported model is measured on the histories that it reads when it is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bst import InputError, load_run
from bst.data.impressions import Impressions
from bst.data.sequences import Sequences
from bst.imports import import_fuxictr
from bst.training.click_metrics import candidate_scores
from tests.bst.imports.asking import logits
from tests.bst.imports.fuxi_folder import TEXT_ITEMS, Case, Other, write_folder

STRANGER = "no-such"
HISTORY = [*TEXT_ITEMS, STRANGER, *TEXT_ITEMS[:3]]  # four more than are read


def shown_to(run_path: Path, history: list[str], candidates: list[str]) -> Impressions:
    """One request whose history and candidates are these."""
    vocabulary = load_run(run_path).vocabularies.items
    items = vocabulary.indices([*history, candidates[0]]).astype(np.int32)
    offsets, none = np.array([0, len(items)]), np.zeros((1, 0), dtype=np.int32)
    shown = vocabulary.indices(candidates).astype(np.int32)
    return Impressions(
        *(Sequences(items, offsets, none), np.array([0]), np.array([len(history)]), none, {}),
        *(np.array([0, len(shown)]), shown, np.arange(len(shown)) == 0),
    )


@pytest.mark.parametrize("padding", ["post", "pre"])
def test_the_scores_are_those_of_the_same_requests(tmp_path: Path, padding: str) -> None:
    write_folder(tmp_path / "fuxictr", Case({"padding": padding}))
    import_fuxictr(tmp_path / "fuxictr", tmp_path / "run")
    run, candidates = load_run(tmp_path / "run"), TEXT_ITEMS[:4]
    history = [STRANGER, *HISTORY]
    request = {"history": {"item_history": history}, "context": {}, "dense": {}, "candidates": candidates}
    expected = logits(run, request).numpy()
    scores = candidate_scores(run.model, shown_to(tmp_path / "run", history, candidates), run.config.model.max_length)
    assert np.abs(scores - expected).max() < 1e-6
    assert np.abs(scores - scores[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "unheard"),
    [
        ({"fields": ["item", "kind"]}, "reads a feature of each candidate"),
        (
            {"others": [Other("skipped")]},
            "reads skipped_item beside the history, of which a table of events says nothing",
        ),
    ],
)
def test_what_a_table_of_events_does_not_have_is_named(changes: dict[str, Any], unheard: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "fuxictr", Case(changes))
    import_fuxictr(tmp_path / "fuxictr", tmp_path / "run")
    run = load_run(tmp_path / "run")
    with pytest.raises(InputError, match=unheard):
        candidate_scores(run.model, shown_to(tmp_path / "run", TEXT_ITEMS, TEXT_ITEMS), run.config.model.max_length)
