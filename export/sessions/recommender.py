"""Recommendations for one user at a time: raw ids in, raw ids and names out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bst.data.vocabulary import Vocabularies
from bst.errors import InputError
from export.contract.manifest import Manifest
from export.contract.signatures import TopK
from export.sessions.session import Session
from export.sessions.users import Id, Value, inputs_of


@dataclass(frozen=True)
class Recommendations:
    """Items for one user, best first; fewer than asked for where no more are left.

    Attributes:
        item_ids: raw ids, as they stand in the data.
        scores: logits, one an item.
        names: of the items, None for one without a name; empty where the bundle has no names.
    """

    item_ids: tuple[Id, ...]
    scores: tuple[float, ...]
    names: tuple[str | None, ...] = ()

    def to_dict(self) -> dict[str, list[Any]]:
        """Give what `bst recommend --json` prints."""
        named = {"names": list(self.names)} if self.names else {}
        return {"item_ids": list(self.item_ids), "scores": list(self.scores), **named}


class Recommender:
    """`top_k` of a bundle, for one user a call. Keep it: loading takes much longer than a call.

    Several users in one call, of histories that are padded to one length, are a `Session`'s: see `Bundle.session`; with
    candidates that you list, a `CandidateScorer`'s.
    """

    def __init__(self, session: Session, manifest: Manifest, vocabularies: Vocabularies) -> None:
        """Take a session of `top_k` at raw level."""
        self.session, self.manifest = session, manifest
        items = vocabularies.items
        self.names: dict[Id, str | None] | None = None
        if items.names is not None:  # no polars in the path of a request: see `export.sessions.lookup`
            self.names = dict(zip(items.ids.to_list(), items.names.to_list(), strict=True))

    def recommend(
        self,
        history: Iterable[Id] = (),
        context: Mapping[str, Value] | None = None,
        *,
        events: Mapping[str, Iterable[Value]] | None = None,
        k: int | None = None,
    ) -> Recommendations:
        """Recommend items for one user.

        Args:
            history: raw ids of what the user had, oldest first; ids that the model does not know are ignored. Empty for
                a user of whom nothing is known.
            context: values of the request by name: of context features and numbers, and `request_time` in seconds since
                1970. One that is left out, None, or not known is the unknown one.
            events: values of the events by name, one for each of the history: of event features, and `event_time`.
                Likewise.
            k: how many; as many as the bundle gives, if not given, or 10 where the caller of `top_k` states k.

        Raises:
            InputError: an id is of another kind than those of the bundle, a feature is not of the model, `events` are
                not as many as the history, or `k` is more than the bundle gives.
            CheckError: the runtime refuses the call.
        """
        limit = self.session.signature.max_k
        inputs = inputs_of(self.manifest, history, context or {}, events or {})
        if limit is not None:
            inputs["k"] = np.array([min(TopK().limit, limit) if k is None else k])
        elif k is not None and not 1 <= k <= self.manifest.settings.top_k.limit:
            raise InputError(
                f"--k {k}: this bundle gives 1 to {self.manifest.settings.top_k.limit}; export with a larger --k"
            )
        answer = self.session(inputs)
        scores = [float(score) for score in answer["scores"][0, :k] if np.isfinite(score)]  # -inf: nothing is left
        item_ids = answer["item_ids"][0, : len(scores)].tolist()
        names = () if self.names is None else tuple(self.names.get(item) for item in item_ids)
        return Recommendations(tuple(item_ids), tuple(scores), names)
