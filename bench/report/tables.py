"""A record in words and tables: what was measured, and what a reader of the numbers must know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import Any

from rich.table import Table

from bench.record.record import REFERENCE, BenchRecord, Case, LatencyRow, LoadLimit, LoadRow, Parity, SoakRow
from bench.record.statistics import Interval

NOISY = 0.10  # above it a measurement doubts itself
DRIFTED = 0.10
UNUSABLE = 0.25  # drift above it stands over everything else
CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Column:
    """A head, what stands under it, whether that is a number, and where it is shown: a terminal is narrow."""

    head: str
    cell: Callable[..., str]
    numeric: bool = True
    terminal: bool = True
    page: bool = True


def micro(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def spread(one: Interval) -> str:
    """Half the width of the interval, relative to the value."""
    return f"{(one.high - one.low) / 2 / one.value:.0%}" if one.value else ""


def bounds(one: Interval | None, number: Callable[[float], str] = micro) -> str:
    return "-" if one is None else f"{number(one.low)}-{number(one.high)}"


def _ratio(one: Interval | None) -> str:
    return "-" if one is None else f"{one.value:.2f} ({one.low:.2f}-{one.high:.2f})"


def _short(one: Interval | None) -> str:
    return "-" if one is None else f"{one.value:.2f} +-{spread(one)}"


def _tail(one: Interval | None) -> str:
    return "-" if one is None else micro(one.value)


def _median(row: SoakRow, name: str) -> float:
    return median(getattr(one, name) for one in row.windows)


def _told(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _parity(one: Parity) -> str:
    found = "-" if one.max_error is None else f"{one.max_error:.0e}"
    return f"WRONG {found}" if one.failure else found


def _case(attribute: str) -> Callable[[LatencyRow | LoadRow | LoadLimit], str]:
    return lambda row: f"{getattr(row.case, attribute):,}"


LATENCY = (
    Column("batch", _case("batch_size")),
    Column("backend", lambda row: row.backend, numeric=False),
    Column("p50 us", lambda row: micro(row.latency.p50_us.value)),
    Column("+-", lambda row: spread(row.latency.p50_us)),
    Column("95% interval", lambda row: bounds(row.latency.p50_us), terminal=False),
    Column("p95", lambda row: _tail(row.latency.p95_us), terminal=False),
    Column("p99", lambda row: _tail(row.latency.p99_us)),
    Column("p99.9", lambda row: _tail(row.latency.p999_us), terminal=False),
    Column("p99.9 95% interval", lambda row: bounds(row.latency.p999_us), terminal=False),
    Column("mean", lambda row: micro(row.latency.mean_us.value), terminal=False),
    Column("rows/s", lambda row: f"{row.rows_per_s:,.0f}", terminal=False),
    Column("to eager", lambda row: _short(row.to_eager), page=False),
    Column("to eager", lambda row: _ratio(row.to_eager), terminal=False),
    Column("", lambda row: row.verdict, numeric=False),
    Column("best other", lambda row: row.best or "-", numeric=False, terminal=False),
    Column("to best", lambda row: _short(row.to_best), page=False),
    Column("to best", lambda row: _ratio(row.to_best), terminal=False),
    Column("", lambda row: row.best_verdict or "-", numeric=False),
    Column("floor", lambda row: "-" if row.of_floor is None else f"{row.of_floor:.0%}"),
    Column("parity", lambda row: _parity(row.parity), numeric=False),
)
LOAD = (
    Column("batch", _case("batch_size")),
    Column("backend", lambda row: row.backend, numeric=False),
    Column("arrivals/s", lambda row: f"{row.rate_per_s:,.0f}"),
    Column("answers/s", lambda row: f"{row.answered_per_s:,.0f}"),
    Column("p50 us", lambda row: "behind" if row.p50_us is None else micro(row.p50_us.value)),
    Column("p99 us", lambda row: "behind" if row.p99_us is None else micro(row.p99_us.value)),
    Column("95% interval", lambda row: bounds(row.p99_us)),
    Column("harness late us", lambda row: micro(row.late_us)),
)
LIMITS = (
    Column("batch", _case("batch_size")),
    Column("backend", lambda row: row.backend, numeric=False),
    Column("budget ms", lambda row: f"{row.budget_ms:g}"),
    Column("keeps it up to, arrivals/s", lambda row: f"{row.rate_per_s.value:,.0f}"),
    Column("95% interval", lambda row: bounds(row.rate_per_s)),
    Column("parity", lambda row: _parity(row.parity), numeric=False),
)
COLD = (
    Column("backend", lambda row: row.backend, numeric=False),
    Column("page cache", lambda row: row.cache, numeric=False),
    Column("first answer ms", lambda row: f"{row.total_ms.value:,.0f}"),
    Column("+-", lambda row: spread(row.total_ms)),
    Column("start", lambda row: f"{row.start_ms.value:,.0f}"),
    Column("imports", lambda row: f"{row.imports_ms.value:,.0f}"),
    Column("load", lambda row: f"{row.load_ms.value:,.0f}"),
    Column("answer", lambda row: f"{row.answer_ms.value:,.1f}"),
    Column("peak MB", lambda row: f"{row.peak_mb.value:,.0f}"),
    Column("parity", lambda row: _parity(row.parity), numeric=False),
)
SOAK = (
    Column("backend", lambda row: row.backend, numeric=False),
    Column("threads", lambda row: str(row.clients)),
    Column("calls", lambda row: f"{row.calls:,}"),
    Column("wrong", lambda row: f"{row.wrong:,}"),
    Column("p50 us", lambda row: micro(_median(row, "p50_us"))),
    Column("p99 us", lambda row: micro(_median(row, "p99_us"))),
    Column("p99, earlier to later", lambda row: _ratio(row.tail_speed)),
    Column("", lambda row: row.tail_verdict, numeric=False),
    Column("MB first", lambda row: _told(row.windows[0].memory_mb, ",.1f")),
    Column("last", lambda row: _told(row.windows[-1].memory_mb, ",.1f")),
    Column("growth", lambda row: _told(row.growth, "+.2%")),
)
Rows = Sequence[Any]  # of what the cells of the columns take


def groups(rows: Iterable[LatencyRow]) -> list[tuple[str, list[LatencyRow]]]:
    """Rows that differ in backend and batch size alone, each group with what it is."""
    return [(title, list(found)) for title, found in groupby(rows, lambda row: about(row.case))]


def about(case: Case) -> str:
    """A case without its batch size."""
    length = f"length {case.length}" if case.length else "measured lengths"
    candidates = f", {case.candidates:,} candidates" if case.candidates else ""
    return f"{case.num_items:,} items, {case.threads} thread{'s' * (case.threads > 1)}, {length}{candidates}"


def tables(record: BenchRecord) -> list[tuple[str, Sequence[Column], Rows]]:
    """Every table of a record: its title, its columns, its rows."""
    found: list[tuple[str, Sequence[Column], Rows]] = []
    if "surface" in record.config.modes:
        found += [("who is fastest where", SURFACE, crossings(record.latency))]
    else:
        found += [(title, LATENCY, rows) for title, rows in groups(record.latency)]
    found += [("load: latency from the intended arrival", LOAD, record.load)] * bool(record.load)
    found += [("load: how much each backend can take", LIMITS, record.load_limits)] * bool(record.load_limits)
    found += [("cold: from the start of a process to its first answer", COLD, record.cold)] * bool(record.cold)
    found += [("soak: one session under threads, the same calls for long", SOAK, record.soak)] * bool(record.soak)
    return found


@dataclass(frozen=True)
class Cell:
    """The fastest right backend of a case, and the next."""

    case: Case
    best: LatencyRow
    crossed: str


def crossings(rows: Sequence[LatencyRow]) -> list[Cell]:
    """The fastest of every case. `crossed` names whom it took over from, compared with the case before it."""
    cells: list[Cell] = []
    for case, found in groupby(rows, lambda row: row.case):
        right = [row for row in found if row.parity.failure is None]
        if right:
            best = min(right, key=lambda row: row.latency.p50_us.value)
            before = cells[-1].best.backend if cells and about(cells[-1].case) == about(case) else best.backend
            cells.append(Cell(case, best, f"from {before}" if before != best.backend else ""))
    return cells


SURFACE = (
    Column("items", lambda cell: f"{cell.case.num_items:,}"),
    Column("threads", lambda cell: str(cell.case.threads)),
    Column("candidates", lambda cell: f"{cell.case.candidates:,}" if cell.case.candidates else "all"),
    Column("length", lambda cell: str(cell.case.length or "mixed")),
    Column("batch", lambda cell: str(cell.case.batch_size)),
    Column("fastest", lambda cell: cell.best.backend, numeric=False),
    Column("p50 us", lambda cell: micro(cell.best.latency.p50_us.value)),
    Column("to the next", lambda cell: _ratio(cell.best.to_best)),
    Column("", lambda cell: cell.best.best_verdict or "-", numeric=False),
    Column("next", lambda cell: cell.best.best or "-", numeric=False),
    Column("crosses", lambda cell: cell.crossed, numeric=False),
)


def terminal_tables(record: BenchRecord) -> list[Table]:
    """The record as tables that fit a terminal of 120 columns."""
    return [terminal_table(title, columns, rows) for title, columns, rows in tables(record)]


def terminal_table(title: str, columns: Sequence[Column], rows: Rows) -> Table:
    drawn = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    shown = [column for column in columns if column.terminal]
    for column in shown:
        drawn.add_column(column.head, justify="right" if column.numeric else "left", no_wrap=True)
    for row in rows:
        drawn.add_row(*(column.cell(row) for column in shown))
    return drawn


def notes(record: BenchRecord) -> list[str]:
    """Say what a reader of the numbers must know: what is missing, what is noisy, what is wrong."""
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
        f"{row.case}: the machine's limit is not known, for {row.backend} is faster than what was measured for it"
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
    """Say what makes the numbers of a record doubtful altogether."""
    return [
        f"The machine drifted: {_rate(rate.what)} changed by {rate.spread:.0%} between launches. Smaller differences "
        "may be the machine's own; measure again when it is idle."
        for rate in record.rates
        if rate.spread > UNUSABLE
    ]


def headline(row: LatencyRow) -> tuple[str, str]:
    """How many times as fast as eager a backend is, and the words beside it, with interval and verdict."""
    ratio = f"{row.to_eager.value:.2f}"
    interval = f"{row.to_eager.low:.2f}-{row.to_eager.high:.2f}"
    if row.verdict == CANNOT_TELL:
        return CANNOT_TELL, f"{row.backend} cannot be told apart from eager: {ratio}x ({interval})"
    beside = f", which cannot be told apart from {row.best}" if row.best_verdict == CANNOT_TELL else ""
    return f"{ratio}x", f"{row.backend} to eager ({interval}: {row.verdict}){beside}"


def _sentence(row: LatencyRow) -> str:
    told = f"{row.backend} at {micro(row.latency.p50_us.value)} us"
    ratio = f"{row.to_eager.value:.2f}"
    interval = f"{row.to_eager.low:.2f}-{row.to_eager.high:.2f}"
    if row.verdict == CANNOT_TELL:
        told += f", which cannot be told apart from eager ({ratio} times as fast, {interval})"
    elif row.verdict != "reference":
        told += f", {ratio} times ({interval}) as fast as eager"
    if row.best_verdict == CANNOT_TELL and row.best != REFERENCE:
        told += f", and cannot be told apart from {row.best}"
    return told


def summary(record: BenchRecord) -> str:
    """The fastest backend with right answers in each case, in a sentence, with intervals and verdicts."""
    parts = []
    many = len({about(row.case) for row in record.latency}) > 1
    for cell in crossings(record.latency):
        where = f"{about(cell.case)}, {cell.case}" if many else str(cell.case)
        parts.append(f"{where}: {_sentence(cell.best)}")
    return "; ".join(parts)
