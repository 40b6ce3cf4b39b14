"""Settings of a batch: the columns of the input, and what is given for each user."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from bst.config import DataConfig, Frozen
from bst.errors import InputError
from export.contract.manifest import Description
from export.contract.signatures import PROBABILITIES, TopK

UNIT_ROWS = 25_000
USER = DataConfig().user_column
HISTORY = "history"
ITEM_IDS, SCORES, UNKNOWN_IDS = "item_ids", "scores", "unknown_ids"


class ScoreSettings(Frozen):
    """The settings of a batch; with the bundle and the input they decide every byte of the shards.

    Attributes:
        user: the column of users, which is copied through.
        history: the column of lists of raw ids, oldest first.
        candidates: the column of lists of raw ids to score; without it, `top_k` chooses from the catalogue.
        exclude: a column of lists of raw ids that a user is never given.
        unknown: features of the model that the input has no column for; they are unknown for every user.
        k: at most so many items a user, best first; None with candidates: all of them.
        unit_rows: a longer file is several units of so many rows.
    """

    user: str = USER
    history: str = HISTORY
    candidates: str | None = None
    exclude: str | None = None
    unknown: tuple[str, ...] = ()
    k: Annotated[int | None, Field(ge=1)] = None
    unit_rows: Annotated[int, Field(ge=1)] = UNIT_ROWS

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        named = [name for name in (self.user, self.history, self.candidates, self.exclude) if name is not None]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"column {', '.join(map(repr, twice))} is named twice; give each its own")
        if self.user in (ITEM_IDS, SCORES, PROBABILITIES, UNKNOWN_IDS):
            raise ValueError(f"column {self.user!r} of users is a column of the output; rename it")
        return self

    @property
    def signature(self) -> str:
        """The signature that answers."""
        return "top_k" if self.candidates is None else "score_candidates"

    def of_bundle(self, manifest: Description) -> Self:
        """Return these settings with the `k` that this bundle has where none was chosen.

        Raises:
            InputError: the bundle lacks the signature or a feature that is named, or gives fewer than `k` items.
        """
        if self.candidates is None and not manifest.model.scores_catalogue:
            raise InputError(
                "this bundle is a click model, which scores the candidates that a caller lists; name their column with "
                "--candidates"
            )
        manifest.signature(self.signature)
        inputs = {name for group in manifest.model.inputs for name in group.names(manifest.model)}
        inputs |= {name for group in manifest.model.candidate_inputs for name in group.names(manifest.model)}
        if strangers := [name for name in self.unknown if name not in inputs]:
            names = ", ".join(sorted(inputs)) or "none"
            raise InputError(f"--unknown {', '.join(strangers)}: no feature of the model; known: {names}")
        if self.candidates is not None:
            return self
        top_k = manifest.settings.top_k
        if self.k is not None and self.k > top_k.limit:
            raise InputError(f"--k {self.k}: this bundle gives 1 to {top_k.limit}; export with a larger --k")
        own = min(TopK().limit, top_k.limit) if top_k.k_is_input else top_k.limit
        return self.model_copy(update={"k": self.k or own})

    def count_with(self, excluded: int, manifest: Description) -> int:
        """Return how many items `top_k` must give so that `k` are left where a row excludes so many.

        Raises:
            InputError: the bundle gives fewer.
        """
        k, limit = self.k or 1, manifest.settings.top_k.limit
        if k + excluded > limit:
            raise InputError(
                f"--k {k} beside {excluded} excluded ids of a user (column {self.exclude!r}) takes {k + excluded} "
                f"items, and this bundle gives {limit}; export with --max-k {k + excluded} or more"
            )
        return k + excluded
