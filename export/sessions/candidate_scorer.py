"""Scores of candidates for many users in one call: raw ids in, arrays out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bst.errors import InputError
from export.contract.manifest import Manifest
from export.contract.signatures import PROBABILITIES
from export.sessions.session import Session
from export.sessions.users import Id, Value, inputs_of_candidates, inputs_of_users


@dataclass(frozen=True)
class CandidateScores:
    """Scores of candidates, a row a user: float32 `[users, n]`, where n is the largest number of candidates of a user.

    Attributes:
        scores: logits; -inf for a candidate that the model does not know, and behind the last one of a shorter list.
        probabilities: of a click model, 0 where the score is -inf; None of a model of next items.
    """

    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None = None

    def to_dict(self) -> dict[str, list[Any]]:
        """Return lists for JSON, None in place of -inf."""
        scores = [[float(score) if np.isfinite(score) else None for score in row] for row in self.scores]
        beside = {} if self.probabilities is None else {PROBABILITIES: self.probabilities.tolist()}
        return {"scores": scores, **beside}


class CandidateScorer:
    """`score_candidates` of a bundle, for many users a call. Keep it: loading takes much longer than a call."""

    def __init__(self, session: Session, manifest: Manifest) -> None:
        """Take a session of `score_candidates` at raw level."""
        self.session, self.manifest = session, manifest

    def score(
        self,
        histories: Sequence[Iterable[Id]],
        candidates: Sequence[Iterable[Id]],
        context: Mapping[str, Sequence[Value]] | None = None,
        *,
        events: Mapping[str, Sequence[Iterable[Value] | None]] | None = None,
        candidate_features: Mapping[str, Sequence[Iterable[Value] | None]] | None = None,
        sequences: Mapping[str, Sequence[Iterable[Id] | None]] | None = None,
    ) -> CandidateScores:
        """Score candidates of each user, in one call of the runtime.

        Args:
            histories: raw ids of what each user had, oldest first; ids that the model does not know are ignored.
            candidates: raw ids to score for each user; lists may be of several lengths.
            context: values of the requests by name, one for each user: of context features and numbers, and
                `request_time` in seconds since 1970. What is left out, None, or not known is the unknown one.
            events: values of the events by name, for each user a list with one for each of the history, or None: of
                event features, and `event_time`. Likewise.
            candidate_features: values of the candidates by name, for each user a list with one for each of its
                candidates, or None.
            sequences: the other sequences than the history by name, such as what was skipped, for each user one, of any
                length, or None where it is empty.

        Raises:
            InputError: there are no users or no candidates, lists for more or fewer users, an id of another kind than
                those of the bundle, or a feature that is not of the model.
            CheckError: the runtime refuses the call.
        """
        inputs = inputs_of_candidates(self.manifest, candidates, candidate_features or {})
        number, width = inputs["candidates"].shape if inputs["candidates"].ndim == 2 else (0, 0)
        if number != len(histories):
            raise InputError(f"{len(histories)} histories and {number} lists of candidates; give one of each a user")
        if not width:
            raise InputError("there is no user, or no candidate; give at least one id to score")
        inputs |= inputs_of_users(self.manifest, histories, context or {}, events or {}, sequences)
        answer = self.session(inputs)
        return CandidateScores(answer["scores"], answer.get(PROBABILITIES))
