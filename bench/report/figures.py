"""The figures of a record."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from bench.record.record import ColdRow, LatencyRow, LoadLimit, LoadRow
from bench.record.statistics import Interval
from bench.report.columns import micro
from export.contract.parity import TOLERANCE

KNOWN = {
    "eager": "#8a94a3",
    "torchscript": "#d9822b",
    "onnxruntime": "#0b6e69",
    "pt2": "#7a5195",
    "aotinductor": "#b3261e",
}
LIMIT = "#b3261e"
OTHERS = [matplotlib.colormaps["tab20"](place) for place in range(20)]
WIDTH = 4.2  # inches: a phone shows it at four fifths of its size, and a wide screen a little larger
TEXT = 9  # points
PARTS = (("start_ms", "interpreter"), ("imports_ms", "imports"), ("load_ms", "load"), ("answer_ms", "first answer"))


def bars(rows: Sequence[LatencyRow]) -> Figure:
    """Draw the median latency of every backend in one case, with intervals and the roofline."""
    rows = rows[::-1]
    names = [row.backend for row in rows]
    drawn, (axes,) = _blank(0.9 + 0.24 * len(rows))
    p50 = [row.latency.p50_us for row in rows]
    axes.barh(
        range(len(rows)),
        [interval.value for interval in p50],
        xerr=[
            [interval.value - interval.low for interval in p50],
            [interval.high - interval.value for interval in p50],
        ],
        color=[_colour(name, names) for name in names],
        hatch=["//" if row.parity.failure else "" for row in rows],
        height=0.66,
        error_kw={"elinewidth": 1.2, "ecolor": "#1c2430"},
    )
    axes.set_yticks(range(len(rows)), labels=names)
    for place, (row, interval) in enumerate(zip(rows, p50, strict=True)):
        label = f" {micro(interval.value)}{', wrong' if row.parity.failure else ''}"
        axes.text(max(interval.high, interval.value), place, label, va="center", fontsize=TEXT)
    floors = [(row.floor_us, place) for place, row in enumerate(rows) if row.floor_us is not None]
    for floor, place in floors:  # a backend that reads a compact copy of the output layer has a roofline of its own
        axes.plot([floor, floor], [place - 0.5, place + 0.5], color=LIMIT, linestyle="--", linewidth=1.2)
    if floors:
        floor, place = floors[-1]
        axes.text(floor, place + 0.5, " roofline", color=LIMIT, fontsize=TEXT, va="bottom")
    axes.set_xlabel("microseconds a call", fontsize=TEXT)
    axes.set_xlim(0, 1.35 * max(interval.high for interval in p50))  # the numbers stand beyond the bars
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    return drawn


def by_batch(rows: Sequence[LatencyRow]) -> Figure:
    """Draw median latency by batch size on log axes, with intervals."""
    drawn, (axes,) = _blank(2.7)
    names = list(dict.fromkeys(row.backend for row in rows))
    for name in names:
        own = sorted((row for row in rows if row.backend == name), key=lambda row: row.case.batch_size)
        sizes = [row.case.batch_size for row in own]
        style = "o--" if any(row.parity.failure for row in own) else "o-"
        _curve(axes, sizes, [row.latency.p50_us for row in own], style, _colour(name, names), name)
    floor: dict[int, float] = {}
    for row in rows:
        if row.floor_us is not None:
            floor[row.case.batch_size] = min(row.floor_us, floor.get(row.case.batch_size, row.floor_us))
    axes.plot(sorted(floor), [floor[size] for size in sorted(floor)], ":", color=LIMIT, label="roofline")
    axes.set_xscale("log", base=2)
    ticks = sorted({row.case.batch_size for row in rows})
    axes.set_xticks(ticks, labels=list(map(str, ticks)))
    _latency_axes(axes, "rows a call")
    return _with_legend(drawn)


def by_catalogue(rows: Sequence[LatencyRow]) -> Figure:
    """Draw median latency by number of items on log axes, with intervals: a panel for each batch size."""
    sizes = sorted({row.case.batch_size for row in rows})
    names = list(dict.fromkeys(row.backend for row in rows))
    drawn, panels = _blank(2.7 * len(sizes), len(sizes))
    for axes, size in zip(panels, sizes, strict=True):
        for name in names:
            own = [row for row in rows if (row.backend, row.case.batch_size) == (name, size)]
            own.sort(key=lambda row: row.case.num_items)
            style = "o--" if any(row.parity.failure for row in own) else "o-"
            items, p50 = [row.case.num_items for row in own], [row.latency.p50_us for row in own]
            _curve(axes, items, p50, style, _colour(name, names), name)
        axes.set_xscale("log")
        axes.set_title(f"batch {size}", fontsize=TEXT + 1, loc="left")
        _latency_axes(axes, "items")
    return _with_legend(drawn)


def parity_beside_speed(rows: Sequence[LatencyRow]) -> Figure:
    """Draw the error of each backend against eager, beside its speed."""
    drawn, (axes,) = _blank(2.5)
    names = list(dict.fromkeys(row.backend for row in rows))
    for name in names:
        own = [row for row in rows if row.backend == name and row.parity.max_error is not None]
        axes.scatter(
            [row.to_eager.value for row in own],
            [max(row.parity.max_error or 0, 1e-9) for row in own],
            s=[20 + 8 * row.case.batch_size**0.5 for row in own],
            color=_colour(name, names),
            marker="X" if any(row.parity.failure for row in own) else "o",
            label=name,
            alpha=0.85,
        )
    axes.axhline(TOLERANCE, color=LIMIT, linestyle="--", linewidth=1)
    axes.text(axes.get_xlim()[0], TOLERANCE, " allowed", color=LIMIT, fontsize=TEXT, va="bottom")
    axes.set_yscale("log")
    axes.set_xlabel("times as fast as eager (larger dots: larger batches)", fontsize=TEXT)
    axes.set_ylabel("largest error (0 drawn at 1e-9)", fontsize=TEXT)
    return _with_legend(drawn)


def load_curve(rows: Sequence[LoadRow], limits: Sequence[LoadLimit]) -> Figure:
    """Draw p50 and p99 by arrival rate, with the budget."""
    drawn, (axes,) = _blank(2.7)
    names = list(dict.fromkeys(row.backend for row in rows))
    for name in names:
        own = [row for row in rows if row.backend == name and row.p99_us is not None and row.p50_us is not None]
        rates, colour = [row.rate_per_s for row in own], _colour(name, names)
        _curve(axes, rates, [row.p99_us for row in own if row.p99_us], "o-", colour, f"{name}, p99")
        axes.plot(rates, [row.p50_us.value for row in own if row.p50_us], ":", color=colour, linewidth=1.2)
    for limit in limits[:1]:
        axes.axhline(limit.budget_ms * 1e3, color=LIMIT, linestyle="--", linewidth=1)
        axes.text(axes.get_xlim()[0], limit.budget_ms * 1e3, " budget", color=LIMIT, fontsize=TEXT, va="bottom")
    axes.set_yscale("log")
    axes.set_xlabel("arrivals a second", fontsize=TEXT)
    axes.set_ylabel("microseconds (dotted: p50)", fontsize=TEXT)
    return _with_legend(drawn)


def cold_bars(rows: Sequence[ColdRow]) -> Figure:
    """Draw the parts of the time to the first answer."""
    labels = [f"{row.backend}, {row.cache}" for row in rows][::-1]
    drawn, (axes,) = _blank(0.8 + 0.24 * len(rows))
    starts = [0.0] * len(rows)
    for (part, name), shade in zip(PARTS, ("#c9d1da", "#8a94a3", "#0b6e69", "#d9822b"), strict=True):
        values = [getattr(row, part).value / 1e3 for row in rows][::-1]
        axes.barh(labels, values, left=starts, color=shade, label=name, height=0.66)
        starts = [start + width for start, width in zip(starts, values, strict=True)]
    axes.set_xlabel("seconds", fontsize=TEXT)
    return _with_legend(drawn)


def _curve(
    axes: Axes, places: Sequence[float], values: Sequence[Interval], style: str, colour: object, label: str
) -> None:
    below, above = (
        [max(interval.value - interval.low, 0) for interval in values],
        [interval.high - interval.value for interval in values],
    )
    middle = [interval.value for interval in values]
    axes.errorbar(
        places,
        middle,
        yerr=[below, above],
        fmt=style,
        color=colour,
        label=label,
        markersize=4,
        linewidth=1.5,
        capsize=3,
    )


def _colour(name: str, names: Sequence[str]) -> object:
    base = name.partition("#")[0]  # a backend that is measured twice has one colour
    return KNOWN.get(base, OTHERS[sorted(names).index(name) % len(OTHERS)])


def _latency_axes(axes: Axes, along: str) -> None:
    axes.set_yscale("log")
    axes.set_xlabel(along, fontsize=TEXT)
    axes.set_ylabel("microseconds a call", fontsize=TEXT)


def _blank(height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure of `height` inches with as many panels, one below the other."""
    drawn = Figure(figsize=(WIDTH, height), layout="constrained")
    below = [drawn.add_subplot(panels, 1, place + 1) for place in range(panels)]
    for axes in below:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=TEXT)
    return drawn, below


def _with_legend(drawn: Figure) -> Figure:
    """Put one legend for all panels below them, and make room for it: beside them it would take half of a phone."""
    shown = dict(zip(*reversed(drawn.axes[0].get_legend_handles_labels()), strict=True))
    drawn.set_figheight(drawn.get_figheight() + 0.2 * ceil(len(shown) / 2))
    drawn.legend(shown.values(), shown.keys(), loc="outside lower left", ncols=2, fontsize=TEXT, frameon=False)
    return drawn
