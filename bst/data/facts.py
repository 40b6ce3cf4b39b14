"""Facts of a table of events that decide what its metrics mean, for the first lines of a run."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from bst.data.times import span


@dataclass(frozen=True)
class TableFacts:
    """What was counted in a table, before repeats were dropped.

    Attributes:
        num_events: rows of the table.
        span: from when to when its times reach.
        repeats: events whose user had the same item in the event before, or at the same time.
        ties: events that share their time with the one before, of the same user.
        dropped: whether the repeats were left out.
    """

    num_events: int
    span: str
    repeats: int
    ties: int
    dropped: bool

    def lines(self) -> list[str]:
        """Say what a reader of the metrics must know; nothing of what does not occur."""
        said = []
        if self.repeats:
            remedy = "left out" if self.dropped else "--drop-repeats leaves them out"
            said.append(f"{self._share(self.repeats)} of the rows repeat the one before (user and item): {remedy}")
        if self.ties:
            share = self._share(self.ties)
            said.append(f"{share} of the events share their time with the one before: the file's order decides")
        return said

    def _share(self, count: int) -> str:
        share = count / self.num_events
        return "less than 0.1 %" if share < 0.001 else f"{share:.1%}".replace("%", " %")


def count_facts(events: pl.DataFrame, times: pl.Series, *, drop_repeats: bool) -> tuple[TableFacts, pl.Series]:
    """Count the facts of `events` (columns `user` and `item`, by user and time), and mark what repeats: bool."""
    user, item = events["user"], events["item"]
    same_user = (user == user.shift(1)).fill_null(False)
    tied = same_user & (times == times.shift(1)).fill_null(False)
    repeats = same_user & (item == item.shift(1)).fill_null(False)
    if tied.any():
        in_tie = tied | tied.shift(-1, fill_value=False)
        groups = (~tied).cast(pl.UInt32).cum_sum().filter(in_tie)
        again = ~pl.DataFrame({"group": groups, "item": item.filter(in_tie)}).select(
            first=pl.struct("group", "item").is_first_distinct()
        )["first"]
        repeats = repeats.scatter(in_tie.arg_true().filter(again), True)
    facts = TableFacts(len(events), span(times), int(repeats.sum()), int(tied.sum()), drop_repeats)
    return facts, repeats
