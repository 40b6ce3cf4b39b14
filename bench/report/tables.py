"""A record in words and tables: the results, and notes on missing, noisy and wrong numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.record.record import REFERENCE, BenchRecord, Case, LatencyRow
from bench.report.columns import COLD, LATENCY, LIMITS, LOAD, SOAK, SURFACE, Sheet, micro

NOISY = 0.10  # above it, notes call a measurement noisy
DRIFTED = 0.10
UNUSABLE = 0.25  # drift above it has a banner
CANNOT_TELL = "cannot tell"


def groups(rows: Iterable[LatencyRow]) -> list[tuple[str, list[LatencyRow]]]:
    """Group the rows that differ in backend and batch size alone, each group with its title."""
    return [(title, list(members)) for title, members in groupby(rows, lambda row: about(row.case))]


def about(case: Case) -> str:
    """Describe a case without its batch size."""
    length = f"length {case.length}" if case.length else "measured lengths"
    candidates = f", {case.candidates:,} candidates" if case.candidates else ""
    return f"{case.num_items:,} items, {case.threads} thread{'s' * (case.threads > 1)}, {length}{candidates}"


def sheets(record: BenchRecord) -> list[Sheet]:
    """Return every table of a record, as a terminal shows it."""
    if "surface" in record.config.modes:
        first = [Sheet("fastest backend by case", SURFACE, [("", crossings(record.latency))])]
    else:
        parts = groups(record.latency)
        many = len(parts) > 1
        first = (
            [Sheet("latency", LATENCY, parts)]
            if many
            else [Sheet(title, LATENCY, [("", rows)]) for title, rows in parts]
        )
    others = (
        ("load: latency from the intended arrival", LOAD, record.load),
        ("load: the highest rate within the budget", LIMITS, record.load_limits),
        ("cold: from the start of a process to its first answer", COLD, record.cold),
        ("soak: one session called by several threads for a long time", SOAK, record.soak),
    )
    return first + [Sheet(title, columns, [("", rows)]) for title, columns, rows in others if rows]


@dataclass(frozen=True)
class Cell:
    """The fastest correct backend of a case, and the next."""

    case: Case
    best: LatencyRow
    crossed: str


def crossings(rows: Sequence[LatencyRow]) -> list[Cell]:
    """Return the fastest of every case. `crossed` names the backend that was fastest in the case before."""
    cells: list[Cell] = []
    for case, members in groupby(rows, lambda row: row.case):
        right = [row for row in members if row.parity.failure is None]
        if right:
            best = min(right, key=lambda row: row.latency.p50_us.value)
            before = cells[-1].best.backend if cells and about(cells[-1].case) == about(case) else best.backend
            cells.append(Cell(case, best, f"from {before}" if before != best.backend else ""))
    return cells


def notes(record: BenchRecord) -> list[str]:
    """List the caveats of the numbers: what is missing, noisy or wrong."""
    lines = [f"{name}: not measured, {reason}" for name, reason in record.unavailable.items()]
    noisy = [row for row in record.latency if row.latency.noise is not None and row.latency.noise > NOISY]
    if noisy:
        worst = max(noisy, key=lambda row: row.latency.noise or 0)
        lines.append(
            f"noisy: in {len(noisy)} of {len(record.latency)} rows the middle half of the calls with the same input "
            f"spreads over more than {NOISY:.0%}; the worst, {worst.backend} at {worst.case}, {worst.latency.noise:.0%}"
        )
    lines += [
        f"the machine drifted: {_rate(rate.what)} changed by {rate.spread:.0%} between launches"
        for rate in record.rates
        if DRIFTED < rate.spread <= UNUSABLE
    ]
    lines += [
        f"{row.case}: the roofline is unknown, because {row.backend} is faster than the machine's measured speeds allow"
        for row in record.latency
        if row.exact and row.floor_us is None and row.parity.failure is None and row.best_verdict != "slower"
    ]
    lines += [
        f"{row.backend} at {row.case} was still changing when it was measured"
        for row in record.latency
        if not row.settled
    ]
    for row in record.latency:
        if row.parity.failure:
            kind = "not equal, as expected" if not row.exact else "PARITY FAILS" if not row.peer else "WRONG (opponent)"
            lines.append(f"{kind}: {row.backend} at {row.case}: {row.parity.failure}")
    return lines


def _rate(what: str) -> str:
    return "copying" if what == "bytes" else "multiplying matrices"


def banners(record: BenchRecord) -> list[str]:
    """List the reasons to doubt a record as a whole."""
    return [
        f"The machine drifted: {_rate(rate.what)} changed by {rate.spread:.0%} between launches. Smaller differences "
        "may be the machine's own; measure again when it is idle."
        for rate in record.rates
        if rate.spread > UNUSABLE
    ]


def headline(row: LatencyRow) -> tuple[str, str]:
    """Write how many times as fast as eager a backend is, and the words beside it, with interval and verdict."""
    ratio = f"{row.to_eager.value:.2f}"
    interval = f"{row.to_eager.low:.2f}-{row.to_eager.high:.2f}"
    if row.verdict == CANNOT_TELL:
        return CANNOT_TELL, f"{row.backend} cannot be told apart from eager: {ratio}x ({interval})"
    beside = f", which cannot be told apart from {row.best}" if row.best_verdict == CANNOT_TELL else ""
    return f"{ratio}x", f"{row.backend} to eager ({interval}: {row.verdict}){beside}"


def _sentence(row: LatencyRow) -> str:
    sentence = f"{row.backend} at {micro(row.latency.p50_us.value)} us"
    ratio = f"{row.to_eager.value:.2f}"
    interval = f"{row.to_eager.low:.2f}-{row.to_eager.high:.2f}"
    if row.verdict == CANNOT_TELL:
        sentence += f", which cannot be told apart from eager ({ratio} times as fast, {interval})"
    elif row.verdict != "reference":
        sentence += f", {ratio} times ({interval}) as fast as eager"
    if row.best_verdict == CANNOT_TELL and row.best != REFERENCE:
        sentence += f", and cannot be told apart from {row.best}"
    return sentence


def summary(record: BenchRecord) -> str:
    """Write the fastest backend with correct answers in each case, in a sentence, with intervals and verdicts."""
    parts = []
    many = len({about(row.case) for row in record.latency}) > 1
    for cell in crossings(record.latency):
        where = f"{about(cell.case)}, {cell.case}" if many else str(cell.case)
        parts.append(f"{where}: {_sentence(cell.best)}")
    return "; ".join(parts)
