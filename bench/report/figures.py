"""The figures of a record."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.record.record import ColdRow, LatencyRow, LoadLimit, LoadRow
from bench.record.statistics import Interval
from bench.report.tables import micro
from export.contract.parity import TOLERANCE

KNOWN = {
    "eager": "#8a94a3",
    "torchscript": "#d9822b",
    "onnxruntime": "#0b6e69",
    "pt2": "#7a5195",
    "aotinductor": "#b3261e",
}
OTHERS = [matplotlib.colormaps["tab20"](place) for place in range(20)]
WIDTH = 7.2
PARTS = (("start_ms", "interpreter"), ("imports_ms", "imports"), ("load_ms", "load"), ("answer_ms", "first answer"))


def bars(rows: Sequence[LatencyRow]) -> Figure:
    """Median latency of every backend at each batch size, with intervals, and the floor drawn in."""
    sizes = sorted({row.case.batch_size for row in rows})
    names = list(dict.fromkeys(row.backend for row in rows))[::-1]
    drawn = Figure(figsize=(WIDTH, 0.75 + 0.3 * len(names) * len(sizes) + 0.55 * len(sizes)))
    for place, size in enumerate(sizes):
        axes: Axes = drawn.add_subplot(len(sizes), 1, place + 1)
        found = sorted((row for row in rows if row.case.batch_size == size), key=lambda row: names.index(row.backend))
        p50 = [row.latency.p50_us for row in found]
        axes.barh(
            [row.backend for row in found],
            [one.value for one in p50],
            xerr=[[one.value - one.low for one in p50], [one.high - one.value for one in p50]],
            color=[_colour(row.backend, names) for row in found],
            hatch=["//" if row.parity.failure else "" for row in found],
            height=0.66,
            error_kw={"elinewidth": 1.2, "ecolor": "#1c2430"},
        )
        for position, (row, one) in enumerate(zip(found, p50, strict=True)):
            told = f"  {micro(one.value)}{'  not equal' if row.parity.failure else ''}"
            axes.text(max(one.high, one.value), position, told, va="center", fontsize=8.5)
        floors = [(row.floor_us, position) for position, row in enumerate(found) if row.floor_us is not None]
        for floor, position in floors:  # who reads a compact copy of the output layer has a limit of its own
            axes.plot([floor, floor], [position - 0.5, position + 0.5], color="#b3261e", linestyle="--", linewidth=1.2)
        if floors:
            floor, position = floors[-1]
            axes.text(floor, position + 0.5, " the machine's limit", color="#b3261e", fontsize=8, va="bottom")
        axes.set_title(f"batch {size}", fontsize=10, loc="left", pad=12)
        axes.set_xlabel("microseconds a call", fontsize=9)
        axes.margins(x=0.2)
        axes.set_xlim(left=0)
        _plain(axes)
    drawn.tight_layout()
    return drawn


def by_batch(rows: Sequence[LatencyRow]) -> Figure:
    """Median latency by batch size on log axes, with intervals."""
    drawn = Figure(figsize=(WIDTH, 3.6))
    axes: Axes = drawn.add_subplot()
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
    axes.plot(sorted(floor), [floor[size] for size in sorted(floor)], ":", color="#b3261e", label="the machine's limit")
    axes.set_xscale("log", base=2)
    ticks = sorted({row.case.batch_size for row in rows})
    axes.set_xticks(ticks, labels=list(map(str, ticks)))
    _latency_axes(axes, "rows a call")
    drawn.tight_layout()
    return drawn


def by_catalogue(rows: Sequence[LatencyRow]) -> Figure:
    """Median latency by number of items on log axes, with intervals: a panel for each batch size."""
    sizes = sorted({row.case.batch_size for row in rows})
    names = list(dict.fromkeys(row.backend for row in rows))
    drawn = Figure(figsize=(WIDTH, 0.5 + 2.9 * len(sizes)))
    for place, size in enumerate(sizes):
        axes: Axes = drawn.add_subplot(len(sizes), 1, place + 1)
        for name in names:
            own = [row for row in rows if (row.backend, row.case.batch_size) == (name, size)]
            own.sort(key=lambda row: row.case.num_items)
            style = "o--" if any(row.parity.failure for row in own) else "o-"
            items, p50 = [row.case.num_items for row in own], [row.latency.p50_us for row in own]
            _curve(axes, items, p50, style, _colour(name, names), name)
        axes.set_xscale("log")
        axes.set_title(f"batch {size}", fontsize=10, loc="left")
        _latency_axes(axes, "items")
    drawn.tight_layout()
    return drawn


def parity_beside_speed(rows: Sequence[LatencyRow]) -> Figure:
    """How far each backend is from eager, beside how fast it is."""
    drawn = Figure(figsize=(WIDTH, 3.2))
    axes: Axes = drawn.add_subplot()
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
    axes.axhline(TOLERANCE, color="#b3261e", linestyle="--", linewidth=1)
    axes.text(axes.get_xlim()[0], TOLERANCE, " allowed", color="#b3261e", fontsize=8, va="bottom")
    axes.set_yscale("log")
    axes.set_xlabel("times as fast as eager (larger dots: larger batches)", fontsize=9)
    axes.set_ylabel("largest error (0 drawn at 1e-9)", fontsize=9)
    _legend(axes)
    _plain(axes)
    drawn.tight_layout()
    return drawn


def load_curve(rows: Sequence[LoadRow], limits: Sequence[LoadLimit]) -> Figure:
    """p50 and p99 by arrival rate, with the budget."""
    drawn = Figure(figsize=(WIDTH, 3.6))
    axes: Axes = drawn.add_subplot()
    names = list(dict.fromkeys(row.backend for row in rows))
    for name in names:
        own = [row for row in rows if row.backend == name and row.p99_us is not None and row.p50_us is not None]
        rates, colour = [row.rate_per_s for row in own], _colour(name, names)
        _curve(axes, rates, [row.p99_us for row in own if row.p99_us], "o-", colour, f"{name}, p99")
        axes.plot(rates, [row.p50_us.value for row in own if row.p50_us], ":", color=colour, linewidth=1.2)
    for limit in limits[:1]:
        axes.axhline(limit.budget_ms * 1e3, color="#b3261e", linestyle="--", linewidth=1)
        axes.text(axes.get_xlim()[0], limit.budget_ms * 1e3, " budget", color="#b3261e", fontsize=8, va="bottom")
    axes.set_yscale("log")
    axes.set_xlabel("arrivals a second", fontsize=9)
    axes.set_ylabel("microseconds from arrival to answer (dotted: p50)", fontsize=9)
    _legend(axes)
    _plain(axes)
    drawn.tight_layout()
    return drawn


def cold_bars(rows: Sequence[ColdRow]) -> Figure:
    """Where the time to the first answer goes."""
    labels = [f"{row.backend}, {row.cache}" for row in rows][::-1]
    drawn = Figure(figsize=(WIDTH, 0.9 + 0.28 * len(rows)))
    axes: Axes = drawn.add_subplot()
    left = [0.0] * len(rows)
    for (part, name), shade in zip(PARTS, ("#c9d1da", "#8a94a3", "#0b6e69", "#d9822b"), strict=True):
        values = [getattr(row, part).value / 1e3 for row in rows][::-1]
        axes.barh(labels, values, left=left, color=shade, label=name, height=0.66)
        left = [one + two for one, two in zip(left, values, strict=True)]
    axes.set_xlabel("seconds from the start of the process", fontsize=9)
    _legend(axes)
    _plain(axes)
    drawn.tight_layout()
    return drawn


def _curve(
    axes: Axes, places: Sequence[float], values: Sequence[Interval], style: str, colour: object, label: str
) -> None:
    below, above = [max(one.value - one.low, 0) for one in values], [one.high - one.value for one in values]
    middle = [one.value for one in values]
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
    base = name.partition("#")[0]  # one that is measured twice is the same
    return KNOWN.get(base, OTHERS[sorted(names).index(name) % len(OTHERS)])


def _latency_axes(axes: Axes, along: str) -> None:
    axes.set_yscale("log")
    axes.set_xlabel(along, fontsize=9)
    axes.set_ylabel("microseconds a call", fontsize=9)
    _legend(axes)
    _plain(axes)


def _legend(axes: Axes) -> None:
    axes.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)
