"""Quality of a bundle: how often its own `top_k` lists a test user's next item."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bst.data.batches import Examples
from bst.data.vocabulary import Vocabularies
from bst.run.folder import Run
from bst.system.validation import validated
from bst.training.metrics import RankingMetrics
from export.contract.quality import ClickQuality, OwnTopK, Quality
from export.contract.signatures import Signature
from export.proof.golden import Call
from export.sessions.session import Session

BATCH_SIZE = 64


def quality_of(run: Run, run_path: Path) -> Quality | ClickQuality | None:
    """Return the metrics of the run, of the kind of its task: `test` in its `metrics.jsonl`; None without it.

    Raises:
        InputError: it is damaged.
    """
    if run.quality is None:
        return None
    place = f"{run_path / 'metrics.jsonl'}: test"
    if run.config.model.scores_catalogue:
        return validated(Quality, run.quality, place)
    return validated(ClickQuality, run.quality, place)


def measure_top_k(
    session: Session, signature: Signature, vocabularies: Vocabularies, test: Examples, limit: int
) -> OwnTopK:
    """Call `top_k` for every test user, with the whole history, and find the target's place among the first 10.

    Args:
        signature: `top_k`, as `session` answers it.
        limit: the number of items it returns; at most 10 are looked at.
    """
    k = min(10, limit)
    beyond = k + 1  # a place beyond k adds nothing to the metrics
    places = np.full(len(test), beyond)
    for rows in _alike(test):
        batch = test.batch(rows, int((test.targets - test.sequences.offsets[test.users])[rows].max()))
        items, context = batch.items.numpy(), batch.context.numpy()
        beside = {name: tensor.numpy() for name, tensor in batch.beside.items()}
        call = Call("test", items, context, np.zeros((len(items), 1), np.int64), k, beside)
        answer = session(call.inputs(signature, vocabularies))[signature.output_names[0]][:, :k]
        targets = batch.targets.numpy()
        target_ids = vocabularies.items.raw(targets) if signature.ids == "raw" else targets
        hits = (answer == target_ids[:, None]) & (targets > 0)[:, None]
        places[rows] = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, beyond)
    metrics = RankingMetrics.from_places(places, (k,))
    return OwnTopK(k=k, users=len(test), hr=metrics.hr[k], ndcg=metrics.ndcg[k])


def _alike(test: Examples) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
    """Yield rows in batches of much the same length."""
    order = np.argsort(test.targets - test.sequences.offsets[test.users], kind="stable")
    return (order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE))
