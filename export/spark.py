"""Spark: a function for `mapInArrow` that scores a row a user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bst.system.validation import validated
from export.batch.columns import require_columns
from export.batch.settings import HISTORY, ITEM_IDS, SCORES, UNKNOWN_IDS, USER, ScoreSettings
from export.batch.shards import bundle_sha256, open_scorer
from export.bundle.folder import open_bundle
from export.contract.signatures import PROBABILITIES


def scorer(
    bundle: Path | str,
    *,
    k: int | None = None,
    user: str = USER,
    history: str = HISTORY,
    candidates: str | None = None,
    exclude: str | None = None,
    unknown: tuple[str, ...] = (),
) -> SparkScorer:
    """Make a function for `DataFrame.mapInArrow`, as `bst score` scores users.

    Called in a partition, it opens one session, of one thread; a later partition in the same process uses it again.

        scored = scorer("/shared/BUNDLE", k=50)
        users.mapInArrow(scored, scored.schema(users)).write.parquet("recs/")

    Args:
        bundle: a folder that the driver and every executor can read.
        k: at most so many items a user; see `ScoreSettings` for this and the others.

    Raises:
        InputError: the path is not a bundle, or it cannot do what is set.
    """
    path = Path(bundle).absolute()
    manifest = open_bundle(path).manifest
    manifest.format("onnx")
    columns = {"user": user, "history": history, "candidates": candidates, "exclude": exclude, "unknown": unknown}
    settings = validated(ScoreSettings, {**columns, "k": k}, "the settings of scorer").of_bundle(manifest)
    items = "bigint" if manifest.items.dtype == "int64" else "string"
    gives_probabilities = candidates is not None and not manifest.model.scores_catalogue
    return SparkScorer(path, bundle_sha256(path), settings, items, gives_probabilities)


@dataclass(frozen=True)
class SparkScorer:
    """Scores partitions of users. Made by `scorer`."""

    bundle: Path
    sha256: str
    settings: ScoreSettings
    items: str
    gives_probabilities: bool

    def schema(self, users: Any) -> str:
        """Return the schema of the output, for `mapInArrow`; `users` is the DataFrame of the input."""
        key = users.schema[self.settings.user].dataType.simpleString()
        probabilities = f", {PROBABILITIES} array<float>" if self.gives_probabilities else ""
        lists = f"{ITEM_IDS} array<{self.items}>, {SCORES} array<float>{probabilities}"
        return f"`{self.settings.user}` {key}, {lists}, {UNKNOWN_IDS} int"

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Score the batches of a partition, each a `pyarrow.RecordBatch`.

        Raises:
            InputError: the bundle was refreshed, a column is missing or of another dtype, or a value cannot be used.
        """
        import pyarrow

        for batch in batches:
            scorer = open_scorer(self.bundle, self.sha256, self.settings)
            frame = pl.DataFrame(pl.from_arrow(batch))
            require_columns(frame.schema, scorer.columns, self.settings, "the DataFrame of users")
            answers = scorer.score(frame.select(*dict.fromkeys(scorer.names)))
            numbers = pyarrow.list_(pyarrow.float32())
            ids = pyarrow.list_(pyarrow.int64() if self.items == "bigint" else pyarrow.string())
            dtypes = {ITEM_IDS: ids, SCORES: numbers, PROBABILITIES: numbers, UNKNOWN_IDS: pyarrow.int32()}
            dtypes[self.settings.user] = batch.schema.field(self.settings.user).type
            table = answers.to_arrow()
            schema = pyarrow.schema([(name, dtypes[name]) for name in table.column_names])
            yield from table.cast(schema).to_batches()
