"""Context that gives the target away: columns that are properties of the item, unknown before the item is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from bst.errors import InputError

# A value is a function of the item, or of the user, if events that share the item agree on it this much more than any
# two events do (Cohen's kappa: 0 by chance, 1 always). What a user always has is known before the event.
OF_ITEM = 0.8
OF_USER = 0.99
SAMPLED = 2**21  # of more events, those of a part of the items (users) are asked that has about as many
Some = Callable[[pl.Expr, Sequence[str]], pl.LazyFrame]
PAIRED = 4  # events of items that come again; of fewer, agreement is chance


@dataclass(frozen=True)
class Agreement:
    """The share of events with equal values among events that share something.

    Attributes:
        share: of the other events in the same group, the share with the same value, on average over events.
        kappa: (`share` - chance) / (1 - chance), where chance is the share among any two events.
    """

    share: float
    kappa: float


def require_no_item_columns(some: Some, num_events: int, context: Sequence[str], numbers: Sequence[str]) -> None:
    """Refuse context features and numbers of which nearly all events of an item have the same value.

    As context, such a feature would be taken from the event to be predicted: it gives the target away, and is not known
    when the model is used.

    Args:
        some: reads columns of some of the `num_events` events: `user`, `item`, and those of `context` and `numbers`,
            which change from event to event.

    Raises:
        InputError: names all of them, with their share.
    """
    parts = max(num_events // SAMPLED, 1)
    offences = []
    for what, names, option, remedy in (
        ("context feature", context, "--context", "--item-features"),
        ("number", numbers, "--numbers", "--item-numbers"),
    ):
        shares = []
        for name in names:
            item, user = (
                agreement(some(pl.col(by).hash(0) % parts == 0, (by, name)), by, name) for by in ("item", "user")
            )
            if item.kappa >= OF_ITEM and user.kappa < OF_USER:
                shares.append(f"{name} ({item.share:.1%} of an item's events have the same value)".replace("%", " %"))
        if shares:
            offences.append(
                f"{what} {', '.join(shares)} belongs to the item: it would be taken from the event to be predicted and "
                f"give it away; leave it out of {option}, and learn from it by --items TABLE {remedy}"
            )
    if offences:
        raise InputError("; ".join(offences))


def agreement(events: pl.LazyFrame, by: str, name: str) -> Agreement:
    """Count how far events that share `by` agree on column `name`; both 0 of fewer than `PAIRED` events."""
    pairs_of_values = events.select(by=by, value=name).drop_nulls()
    counts = pairs_of_values.group_by("by", "value").agg(count=pl.len().cast(pl.Float64))
    pairs = counts.group_by("by").agg(
        events=pl.col("count").sum(), equal=(pl.col("count") * (pl.col("count") - 1)).sum()
    )
    several = pairs.filter(pl.col("events") > 1)
    share = several.select((pl.col("equal") / (pl.col("events") - 1)).sum() / pl.col("events").sum())
    values = counts.group_by("value").agg(pl.col("count").sum())
    chance = values.select(((pl.col("count") / pl.col("count").sum()) ** 2).sum())
    if several.select(pl.col("events").sum()).collect().item() < PAIRED:
        return Agreement(0.0, 0.0)
    shared, expected = (frame.collect(engine="streaming").item() for frame in (share, chance))
    if shared is None or shared != shared or expected >= 1:
        return Agreement(0.0, 0.0)
    return Agreement(shared, (shared - expected) / (1 - expected))
