"""What was measured, for people: a table for the terminal and a page with figures."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table

from bench.cases import POOL
from bench.latency import REFERENCE, BenchResult, Row
from bench.page import COLOURS, figure, page, paragraph, section, table, text, tiles

HEAD = ("batch", "backend", "p50 us", "95% interval", "p95", "p99", "rows/s", "to eager", "verdict", "parity")
NUMERIC = (0, 2, 3, 4, 5, 6, 7)


def terminal_table(result: BenchResult) -> Table:
    """The result as a table that fits a terminal."""
    drawn = Table(box=None, pad_edge=False)
    for place, name in enumerate(HEAD):
        drawn.add_column(name, justify="right" if place in NUMERIC else "left", no_wrap=True)
    for row in result.rows:
        drawn.add_row(*_cells(row))
    return drawn


def notes(result: BenchResult) -> list[str]:
    """Say what a reader of the numbers must know: what is missing, what is noisy, what is wrong."""
    lines = [f"{name}: not measured, {reason}" for name, reason in result.unavailable.items()]
    lines += [
        f"{row.backend} at batch {row.batch_size}: the middle half of the calls spreads over "
        f"{row.latency.iqr_us / row.latency.p50_us.value:.0%} of the median (mixed lengths, or a busy machine)"
        for row in result.rows
        if row.latency.noisy
    ]
    lines += [
        f"PARITY FAILS: {row.backend} at batch {row.batch_size}: {row.parity.failure}" for row in result.parity_failures
    ]
    return lines


def summary(result: BenchResult) -> str:
    """The fastest backend of each batch size, in a sentence."""
    parts = []
    for batch_size in result.config.batch_sizes:
        right = [row for row in result.rows if row.batch_size == batch_size and not row.parity.failure]
        if right:
            best = min(right, key=lambda row: row.latency.p50_us.value)
            ratio = "" if best.backend == REFERENCE else f", {best.speedup.value:.2f} times as fast as eager"
            parts.append(f"batch {batch_size}: {best.backend} at {_micro(best.latency.p50_us.value)} us{ratio}")
    return "; ".join(parts)


def html_page(result: BenchResult) -> str:
    """The result as a page (see `bench.page`)."""
    environment = result.environment
    lead = (
        f"{result.config.signature} of the bundle {result.bundle}, {environment['threads']} thread(s) on "
        f"{environment['cpu']}, {result.date}. Every backend ran alone in its process on the same inputs, in turns."
    )
    return page("How fast is each backend, and is it right?", lead, [*bench_sections(result), *_method(result)])


def bench_sections(result: BenchResult) -> list[str]:
    """Headline, figures and table, for this page and for others that show a measurement."""
    fastest = [
        (f"{row.speedup.value:.2f}x", f"{row.backend} to eager, batch {row.batch_size}")
        for row in result.rows
        if row.backend != REFERENCE
    ]
    rows = [[text(cell) for cell in _cells(row)] for row in result.rows]
    for cells, row in zip(rows, result.rows, strict=True):
        cells[-1] = f'<span class="{"bad" if row.parity.failure else "good"}">{cells[-1]}</span>'
    return [
        tiles(fastest),
        figure(_bars(result), "Median latency a call, by batch size; lines are 95% intervals. Lower is better."),
        figure(_curves(result), "How the calls of each backend spread: the share of calls that took at most so long."),
        table(HEAD, rows, NUMERIC),
        *(paragraph(line, "bad" if line.startswith("PARITY") else "soft") for line in notes(result)),
    ]


def _method(result: BenchResult) -> list[str]:
    environment, config = result.environment, result.config
    facts = [
        ["CPU", environment["cpu"]],
        ["features", ", ".join(environment["cpu_features"])],
        ["cores", environment["cores"]],
        ["GPU", environment["gpu"] or "none"],
        ["load at start", environment["load_at_start"]],
        *environment["versions"].items(),
    ]
    model = ", ".join(
        f"{name} {result.model[name]}" for name in ("num_items", "dim", "num_heads", "num_blocks", "max_length")
    )
    return [
        section(
            "How it was measured",
            paragraph(
                f"{config.launches} launches of {config.rounds} rounds of {config.round_seconds} s a backend and batch "
                "size, backends in random order within a round, each in a process of its own with the same number of "
                f"threads, after warming up. Calls cycle through {POOL} different inputs: items drawn by Zipf's law, "
                "lengths of real held-out users. A ratio pairs the medians of the same round; intervals are "
                "Student's over launches. Parity is the largest difference to eager on the timed inputs, "
                "relative to the largest score."
            ),
            paragraph(f"Model: {model}."),
        ),
        section("Where", table(["", ""], [[text(name), text(value)] for name, value in facts])),
    ]


def _cells(row: Row) -> Sequence[str]:
    latency, ratio = row.latency, row.speedup
    same = row.backend == REFERENCE
    return (
        str(row.batch_size),
        row.backend,
        _micro(latency.p50_us.value),
        f"{_micro(latency.p50_us.low)}-{_micro(latency.p50_us.high)}",
        _micro(latency.p95_us),
        _micro(latency.p99_us),
        f"{row.rows_per_s:,.0f}",
        "1" if same else f"{ratio.value:.2f} ({ratio.low:.2f}-{ratio.high:.2f})",
        row.verdict,
        f"FAILS, {row.parity.error:.0e}" if row.parity.failure else f"{row.parity.error:.0e}",
    )


def _micro(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _bars(result: BenchResult) -> Figure:
    sizes = result.config.batch_sizes
    drawn = Figure(figsize=(7.2, 2.9))
    for place, batch_size in enumerate(sizes):
        axes: Axes = drawn.add_subplot(1, len(sizes), place + 1)
        rows = [row for row in result.rows if row.batch_size == batch_size][::-1]
        p50 = [row.latency.p50_us for row in rows]
        spread = [[one.value - one.low for one in p50], [one.high - one.value for one in p50]]
        axes.barh(
            [row.backend for row in rows],
            [one.value for one in p50],
            xerr=spread,
            color=[COLOURS.get(row.backend, "#666") for row in rows],
            height=0.62,
            error_kw={"elinewidth": 1.2, "ecolor": "#1c2430"},
        )
        for position, one in enumerate(p50):
            axes.text(one.high, position, f"  {_micro(one.value)}", va="center", fontsize=9)
        axes.set_title(f"batch {batch_size}", fontsize=10, loc="left")
        axes.set_xlabel("microseconds a call", fontsize=9)
        axes.margins(x=0.22)
        _plain(axes)
    drawn.tight_layout()
    return drawn


def _curves(result: BenchResult) -> Figure:
    drawn = Figure(figsize=(7.2, 2.9))
    axes: Axes = drawn.add_subplot()
    styles = ["-", "--", ":", "-."]
    for row in result.rows:
        pooled = sorted(value for rounds in row.samples_us for calls in rounds for value in calls.tolist())
        cut = pooled[:: max(len(pooled) // 400, 1)]  # enough points for the eye
        shares = [(place + 1) / len(cut) for place in range(len(cut))]
        style = styles[result.config.batch_sizes.index(row.batch_size) % len(styles)]
        colour = COLOURS.get(row.backend, "#666")
        axes.plot(cut, shares, style, color=colour, label=f"{row.backend}, batch {row.batch_size}", linewidth=1.6)
    axes.set_xscale("log")
    axes.set_xlabel("microseconds a call (log)", fontsize=9)
    axes.set_ylabel("share of calls", fontsize=9)
    axes.legend(fontsize=8, frameon=False)
    _plain(axes)
    drawn.tight_layout()
    return drawn


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
