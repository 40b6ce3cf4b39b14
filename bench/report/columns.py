"""The columns of the tables of a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.record.record import LatencyRow, LoadLimit, LoadRow, Parity, SoakRow
from bench.record.statistics import Interval


@dataclass(frozen=True)
class Column:
    """A column: its head, the text of its cells, and whether they are numbers.

    `rank` orders columns by need: a terminal that is too narrow leaves out the columns of the highest rank, all of that
    rank together; those of rank 0 always stay. `kind` is the mark of a cell on a page: `good`, `bad` or none.
    """

    head: str
    cell: Callable[..., str]
    numeric: bool = True
    rank: int = 0
    kind: Callable[..., str] = lambda row: ""


@dataclass(frozen=True)
class Sheet:
    """A table: its title, its columns, and its rows in parts, each with a title of its own or none."""

    title: str
    columns: Sequence[Column]
    parts: Sequence[tuple[str, Sequence[Any]]]


def micro(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def spread(interval: Interval) -> str:
    """Return half the width of the interval, relative to the value."""
    return f"{(interval.high - interval.low) / 2 / interval.value:.0%}" if interval.value else ""


def bounds(interval: Interval | None, number: Callable[[float], str] = micro) -> str:
    return "-" if interval is None else f"{number(interval.low)}-{number(interval.high)}"


def times(interval: Interval | None) -> str:
    """Write how many times, with its interval."""
    return "-" if interval is None else f"{interval.value:.2f} ({bounds(interval, '{:.2f}'.format)})"


def _time(interval: Interval | None) -> str:
    return "-" if interval is None else f"{micro(interval.value)} ({bounds(interval)})"


def _short(interval: Interval | None) -> str:
    return "-" if interval is None else f"{interval.value:.2f} +-{spread(interval)}"


def _tail(interval: Interval | None) -> str:
    return "-" if interval is None else micro(interval.value)


def _median(row: SoakRow, name: str) -> float:
    return median(getattr(window, name) for window in row.windows)


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _parity(parity: Parity) -> str:
    error = "-" if parity.max_error is None else f"{parity.max_error:.0e}"
    return f"WRONG {error}" if parity.failure else error


def _right(parity: Parity) -> str:
    error = "no number" if parity.max_error is None else f"{parity.max_error:.0e}"
    return f"{'WRONG' if parity.failure else 'right'} ({error})"


def _judged(row: Any) -> str:
    return "bad" if row.parity.failure else "good"


def _case(attribute: str) -> Callable[[LatencyRow | LoadRow | LoadLimit], str]:
    return lambda row: f"{getattr(row.case, attribute):,}"


BATCH = Column("batch", _case("batch_size"))
BACKEND = Column("backend", lambda row: row.backend, numeric=False)
ROOFLINE = Column("of roofline", lambda row: "-" if row.of_floor is None else f"{row.of_floor:.0%}", rank=4)
PARITY = Column("parity", lambda row: _parity(row.parity), numeric=False, rank=1, kind=_judged)
LATENCY = (
    BATCH,
    BACKEND,
    Column("p50 us", lambda row: micro(row.latency.p50_us.value)),
    Column("+-", lambda row: spread(row.latency.p50_us), rank=3),
    Column("p99", lambda row: _tail(row.latency.p99_us), rank=5),
    Column("to eager", lambda row: _short(row.to_eager), rank=2),
    Column("", lambda row: row.verdict, numeric=False, rank=2),
    Column("to best", lambda row: _short(row.to_best), rank=6),
    Column("", lambda row: row.best_verdict or "-", numeric=False, rank=6),
    ROOFLINE,
    PARITY,
)
# On a page the answer and what is beside it are two tables: the first fits every screen.
ANSWER = (
    BACKEND,
    Column("time of a call, us", lambda row: _time(row.latency.p50_us)),
    Column("times as fast as eager", lambda row: times(row.to_eager)),
    Column("verdict", lambda row: row.verdict, numeric=False),
    Column("right or wrong", lambda row: _right(row.parity), numeric=False, kind=_judged),
    Column("share of the roofline", ROOFLINE.cell),
)
TAIL = (
    BACKEND,
    Column("p95 us", lambda row: _tail(row.latency.p95_us)),
    Column("p99 us", lambda row: _tail(row.latency.p99_us)),
    Column("p99.9 us", lambda row: _time(row.latency.p999_us)),
    Column("mean us", lambda row: micro(row.latency.mean_us.value)),
    Column("rows/s", lambda row: f"{row.rows_per_s:,.0f}"),
    Column("best other", lambda row: row.best or "-", numeric=False),
    Column("times as fast as that", lambda row: times(row.to_best)),
    Column("verdict", lambda row: row.best_verdict or "-", numeric=False),
)
LOAD = (
    BACKEND,
    BATCH,
    Column("arrivals/s", lambda row: f"{row.rate_per_s:,.0f}"),
    Column("answers/s", lambda row: f"{row.answered_per_s:,.0f}", rank=3),
    Column("p50 us", lambda row: "behind" if row.p50_us is None else micro(row.p50_us.value), rank=1),
    Column("p99 us", lambda row: "behind" if row.p99_us is None else micro(row.p99_us.value)),
    Column("95% interval", lambda row: bounds(row.p99_us), rank=2),
    Column("harness late us", lambda row: micro(row.late_us), rank=4),
)
LIMITS = (
    BACKEND,
    BATCH,
    Column("budget ms", lambda row: f"{row.budget_ms:g}", rank=3),
    Column("max arrivals/s within budget", lambda row: f"{row.rate_per_s.value:,.0f}"),
    Column("95% interval", lambda row: bounds(row.rate_per_s), rank=2),
    PARITY,
)
COLD = (
    BACKEND,
    Column("page cache", lambda row: row.cache, numeric=False),
    Column("first answer ms", lambda row: f"{row.total_ms.value:,.0f}"),
    Column("+-", lambda row: spread(row.total_ms), rank=2),
    Column("start", lambda row: f"{row.start_ms.value:,.0f}", rank=4),
    Column("imports", lambda row: f"{row.imports_ms.value:,.0f}", rank=4),
    Column("load", lambda row: f"{row.load_ms.value:,.0f}", rank=4),
    Column("answer", lambda row: f"{row.answer_ms.value:,.1f}", rank=4),
    Column("peak MB", lambda row: f"{row.peak_mb.value:,.0f}", rank=3),
    PARITY,
)
SOAK = (
    BACKEND,
    Column("threads", lambda row: str(row.clients), rank=5),
    Column("calls", lambda row: f"{row.calls:,}", rank=4),
    Column("wrong", lambda row: f"{row.wrong:,}"),
    Column("p50 us", lambda row: micro(_median(row, "p50_us")), rank=2),
    Column("p99 us", lambda row: micro(_median(row, "p99_us")), rank=2),
    Column("p99 earlier to later", lambda row: times(row.tail_speed), rank=3),
    Column("", lambda row: row.tail_verdict, numeric=False, rank=3),
    Column("MB first", lambda row: _or_dash(row.windows[0].memory_mb, ",.1f"), rank=6),
    Column("MB last", lambda row: _or_dash(row.windows[-1].memory_mb, ",.1f"), rank=6),
    Column("growth", lambda row: _or_dash(row.growth, "+.2%"), rank=1),
)
SURFACE = (
    Column("items", lambda cell: f"{cell.case.num_items:,}"),
    Column("threads", lambda cell: str(cell.case.threads)),
    Column("candidates", lambda cell: f"{cell.case.candidates:,}" if cell.case.candidates else "all"),
    Column("length", lambda cell: str(cell.case.length or "mixed")),
    Column("batch", lambda cell: str(cell.case.batch_size)),
    Column("fastest", lambda cell: cell.best.backend, numeric=False),
    Column("p50 us", lambda cell: micro(cell.best.latency.p50_us.value), rank=1),
    Column("to the next", lambda cell: times(cell.best.to_best), rank=2),
    Column("", lambda cell: cell.best.best_verdict or "-", numeric=False, rank=2),
    Column("next", lambda cell: cell.best.best or "-", numeric=False, rank=3),
    Column("crosses", lambda cell: cell.crossed, numeric=False, rank=4),
)
