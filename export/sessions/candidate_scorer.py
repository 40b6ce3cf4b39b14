"""Scores of candidates for many users in one call: raw ids in, arrays out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bst.errors import InputError
from export.contract.inputs import Arrays
from export.contract.manifest import Manifest
from export.contract.signatures import PROBABILITIES, USER_VECTOR
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
        inputs = _inputs_of(self.manifest, candidates, candidate_features, len(histories), "histories")
        inputs |= inputs_of_users(self.manifest, histories, context or {}, events or {}, sequences)
        answer = self.session(inputs)
        return CandidateScores(answer["scores"], answer.get(PROBABILITIES))


class UserScorer:
    """`encode_user` of a click model and `score_candidates_from_user`, for users that are kept between requests.

    A vector holds what the bundle knows of a user at one moment: make it anew when there is an event more, when context
    or numbers are others, and, of a model that reads times, at each request.
    """

    def __init__(self, encoding: Session, scoring: Session, manifest: Manifest) -> None:
        """Take sessions of both signatures at raw level."""
        self.encoding, self.scoring, self.manifest = encoding, scoring, manifest

    def encode(
        self,
        histories: Sequence[Iterable[Id]],
        context: Mapping[str, Sequence[Value]] | None = None,
        *,
        events: Mapping[str, Sequence[Iterable[Value] | None]] | None = None,
    ) -> NDArray[np.float32]:
        """Compute all that is read of users: float32 `[users, width]`, whatever the lengths of the histories.

        The arguments, and what raises, are those of `CandidateScorer.score`.
        """
        if not histories:
            raise InputError("there is no user; give at least one history, which may be empty")
        inputs = inputs_of_users(self.manifest, histories, context or {}, events or {})
        vectors: NDArray[np.float32] = self.encoding(inputs)[USER_VECTOR]
        return vectors

    def score(
        self,
        user_vectors: NDArray[np.float32],
        candidates: Sequence[Iterable[Id]],
        *,
        candidate_features: Mapping[str, Sequence[Iterable[Value] | None]] | None = None,
    ) -> CandidateScores:
        """Score candidates of each user as `CandidateScorer.score` does.

        Args:
            user_vectors: float32 `[users, width]`, rows that `encode` of this bundle gave, in one call or in several.

        Raises:
            InputError: vectors are of another width or number, or as `CandidateScorer.score`.
            CheckError: the runtime refuses the call.
        """
        inputs = _inputs_of(self.manifest, candidates, candidate_features, len(user_vectors), "user vectors")
        answer = self.scoring({**inputs, USER_VECTOR: user_vectors})
        return CandidateScores(answer["scores"], answer[PROBABILITIES])


def _inputs_of(
    manifest: Manifest,
    candidates: Sequence[Iterable[Id]],
    features: Mapping[str, Sequence[Iterable[Value] | None]] | None,
    users: int,
    what: str,
) -> Arrays:
    inputs = inputs_of_candidates(manifest, candidates, features or {})
    number, width = inputs["candidates"].shape if inputs["candidates"].ndim == 2 else (0, 0)
    if number != users:
        raise InputError(f"{users} {what} and {number} lists of candidates; give one of each a user")
    if not width:
        raise InputError("there is no user, or no candidate; give at least one id to score")
    return inputs
