"""Facts of a table of events that decide what its metrics mean, for the first lines of a run."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class TableFacts:
    """Facts counted in a table, before repeats were dropped.

    Attributes:
        num_events: rows of the table.
        span: the first and last of its times, in words.
        repeats: events whose user had the same item in the event before, or at the same time.
        ties: events that share their time with the one before, of the same user.
        dropped: whether the repeats were left out.
        remarks: guesses and omissions while it was read, for people.
    """

    num_events: int
    span: str
    repeats: int
    ties: int
    dropped: bool
    remarks: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """List in words how the table was read and which of its facts decide the metrics; a fact that does not occur
        is left out.
        """
        lines = list(self.remarks)
        if self.repeats:
            remedy = "left out" if self.dropped else "--drop-repeats leaves them out"
            lines.append(f"{self._share(self.repeats)} of the rows repeat the one before (user and item): {remedy}")
        if self.ties:
            share = self._share(self.ties)
            lines.append(f"{share} of the events share their time with the one before: the file's order decides")
        return lines

    def _share(self, count: int) -> str:
        share = count / self.num_events
        return "less than 0.1 %" if share < 0.001 else f"{share:.1%}".replace("%", " %")


def mark_repeats(events: pl.DataFrame, times: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Mark repeated events, and events with the time of the event before: bool, as long as `events`.

    Args:
        events: columns `user` and `item`, by user and time.
    """
    user = events["user"]
    tied = _as_before(user) & _as_before(times)
    repeats = _again_in_ties(events["item"], tied)
    distinct = events.filter(~repeats)  # an event may repeat the one that is left before it
    again = (_as_before(distinct["user"]) & _as_before(distinct["item"])).arg_true()
    return repeats.scatter((~repeats).arg_true().gather(again), True), tied


def _as_before(values: pl.Series) -> pl.Series:
    return (values == values.shift(1)).fill_null(False)


def _again_in_ties(item: pl.Series, tied: pl.Series) -> pl.Series:
    """Mark events whose item came before at the same time, of the same user."""
    repeats = pl.repeat(False, len(item), dtype=pl.Boolean, eager=True)
    if not tied.any():
        return repeats
    in_tie = tied | tied.shift(-1, fill_value=False)
    ties = pl.DataFrame({"tie": (~tied).cast(pl.UInt32).cum_sum().filter(in_tie), "item": item.filter(in_tie)})
    again = ~ties.select(first=pl.struct("tie", "item").is_first_distinct())["first"]
    return repeats.scatter(in_tie.arg_true().filter(again), True)
