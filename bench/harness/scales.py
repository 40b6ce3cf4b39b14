"""The scales of answers: what an error of a call is relative to, by the rule of the export's proof.

The numbers of a call may all be small by chance, as the score of a single candidate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.contestants.backends import Backend
from export import Bundle
from export.contract.inputs import Array
from export.contract.parity import LARGEST, RUNNER_UP, runner_up
from export.contract.signatures import SIGNATURES
from export.proof.golden import read_golden

Answers = list[dict[str, np.ndarray[Any, Any]]]


def add_scales(
    answers: Answers, inputs: list[dict[str, Array]], bundle: Bundle, signature: str, reference: Backend, threads: int
) -> None:
    """Add to `answers` of the reference to `inputs` what `export.compare` takes beside the outputs, `[batch]` each.

    Of a next-item model that is the largest score of the catalogue, and the best one that `top_k` does not list; of a
    click model, the scale of the usual row of the most candidates, which is the least in its golden calls
    (`export.proof.eager`).
    """
    kind = SIGNATURES.find(signature)
    if kind.takes_candidates and not bundle.manifest.model.scores_catalogue:
        golden = read_golden(bundle.path / "golden", bundle.manifest.signature(signature))
        usual = min(np.min(call.outputs.get(LARGEST, 0)) for call in golden)
        for answer in answers:
            answer[LARGEST] = np.full(len(answer["scores"]), usual)
    elif kind.picks or kind.takes_candidates:
        scored = reference.open(bundle, "all_scores", threads)
        excluding = bundle.manifest.settings.top_k.exclude_history
        for answer, call in zip(answers, inputs, strict=True):
            user = {name: array for name, array in call.items() if name not in ("k", "candidates")}
            scores = scored(user)["scores"]
            answer[LARGEST] = np.abs(scores).max(axis=1)
            # Where the history is left out, scores of all items are no runner-up: any id beyond the list fails there.
            if kind.picks and not excluding:
                answer[RUNNER_UP] = runner_up(scores, answer["scores"].shape[1])
