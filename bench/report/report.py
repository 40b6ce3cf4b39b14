"""A record as a page for readers who have not read the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from bench.record.record import REFERENCE, BenchRecord, Case, LatencyRow
from bench.report.columns import ANSWER, COLD, LIMITS, LOAD, SOAK, SURFACE, TAIL, Column, bounds, spread
from bench.report.figures import bars, by_batch, by_catalogue, cold_bars, load_curve, parity_beside_speed
from bench.report.page import (
    figure,
    figures,
    marked,
    page,
    paragraph,
    section,
    stacked,
    subtitle,
    table,
    table_of_parts,
    tiles,
)
from bench.report.tables import banners, crossings, groups, headline, notes
from export.contract.signatures import SIGNATURES

FIGURES = 4  # groups that are drawn; beyond, tables alone


def html_page(record: BenchRecord) -> str:
    """Write the record as one self-contained page (see `bench.report.page`)."""
    subjects = ", ".join(f"{subject.bundle} ({subject.model.num_items:,} items)" for subject in record.subjects)
    lead = (
        f"{record.config.signature} of {subjects} on {record.environment['cpu']}, {record.date}. "
        "Every backend ran alone in its process on the same inputs, in turns; every timed answer was compared "
        "with the trained model."
    )
    return page("How fast is each backend, and is it right?", lead, [*bench_sections(record), *_method(record)])


def bench_sections(record: BenchRecord) -> list[Markup]:
    """Write headline, tables and figures, for this page and for others that show a measurement."""
    parts = [*(paragraph(line, "banner") for line in banners(record)), tiles(_headlines(record))]
    parts += [
        _latency(title, rows, drawn=place < FIGURES) for place, (title, rows) in enumerate(groups(record.latency))
    ]
    plainest = [row for row in record.latency if row.case == _same_but_items(row.case, record.latency[0].case)]
    if len({row.case.num_items for row in plainest}) > 1:
        caption = "Median time of a call by the size of the catalogue, both axes logarithmic."
        parts.append(section("As the catalogue grows", figure(by_catalogue(plainest), caption)))
    if "surface" in record.config.modes:
        parts.append(section("Fastest backend by case", _table(SURFACE, ("", crossings(record.latency)))))
    if record.load:
        caption = "Time from arrival to answer: calls arrive at random, whether or not those before them are answered."
        drawn = [
            figure(
                load_curve([row for row in record.load if row.case == case], record.load_limits), f"{case}. {caption}"
            )
            for case in dict.fromkeys(row.case for row in record.load)
        ]
        tables = _table(LIMITS, ("", record.load_limits)), _table(LOAD, ("", record.load))
        parts.append(section("Under load", tables[0], figures(drawn[:FIGURES]), tables[1]))
    if record.cold:
        caption = "From the start of a process to its first answer, with the files in memory (warm) or read from disk."
        parts.append(section("Cold start", _table(COLD, ("", record.cold)), figure(cold_bars(record.cold), caption)))
    if record.soak:
        parts.append(section("Soak: a long time under load", _table(SOAK, ("", record.soak))))
    if lines := notes(record):
        parts.append(section("Notes on these numbers", *(paragraph(line, _kind(line)) for line in lines)))
    return parts


def _latency(title: str, rows: Sequence[LatencyRow], drawn: bool) -> Markup:
    """Write the answer, the figures, and the other results of a group."""
    batches = [(size, list(own)) for size, own in groupby(rows, lambda row: row.case.batch_size)]
    parts = [(f"batch {size}", own) for size, own in batches]
    shown = []
    if drawn:
        shown = [
            figure(bars(own), f"Batch {size}: median time of a call; lines are 95% intervals.") for size, own in batches
        ]
        if len(batches) > 1:
            shown.append(figure(by_batch(rows), "The same by batch size, both axes logarithmic."))
            shown.append(figure(parity_beside_speed(rows), "Right, and fast: lower and further right is better."))
    return section(
        title,
        _table(ANSWER, *parts),
        figures(shown),
        subtitle("The tail, and the best other backend"),
        _table(TAIL, *parts),
    )


def _same_but_items(case: Case, first: Case) -> Case:
    """Return `first` with the items and the batch size of `case`."""
    return first.model_copy(update={"num_items": case.num_items, "batch_size": case.batch_size})


def _headlines(record: BenchRecord) -> list[tuple[str, str]]:
    tiles_ = []
    for cell in crossings(record.latency)[:6]:
        best = cell.best
        if best.backend != REFERENCE:
            where = f"{cell.case}, {cell.case.num_items:,} items" if len(record.subjects) > 1 else str(cell.case)
            value, words = headline(best)
            tiles_.append((value, f"{words}, {where}"))
    for limit in sorted(record.load_limits, key=lambda row: -row.rate_per_s.value)[:1]:
        reach = bounds(limit.rate_per_s, "{:,.0f}".format)
        words = f"calls a second ({reach}) with p99 under {limit.budget_ms:g} ms: {limit.backend}, {limit.case}"
        tiles_.append((f"{limit.rate_per_s.value:,.0f}", words))
    quickest = sorted(record.cold, key=lambda row: row.total_ms.value)[:1]
    return tiles_ + [
        (f"{row.total_ms.value / 1e3:.2f} s", f"to the first answer (+-{spread(row.total_ms)}): {row.backend}")
        for row in quickest
    ]


def _kind(note: str) -> str:
    return "bad" if note.startswith(("PARITY", "WRONG")) else ""


def _table(columns: Sequence[Column], *parts: tuple[str, Sequence[Any]]) -> Markup:
    numeric = [place for place, column in enumerate(columns) if column.numeric]
    cells = [(title, [[_cell(column, row) for column in columns] for row in rows]) for title, rows in parts]
    return table_of_parts([column.head for column in columns], cells, numeric)


def _cell(column: Column, row: Any) -> Markup:
    return marked(stacked(column.cell(row)), column.kind(row))


def _method(record: BenchRecord) -> list[Markup]:
    environment, config = record.environment, record.config
    pinned = "; ".join(f"{count}: {cores}" for count, cores in environment["pinned_to_cores"].items())
    facts = [
        ["CPU", environment["cpu"]],
        ["features", ", ".join(environment["cpu_features"])],
        ["cores", environment["cores"]],
        ["caches", ", ".join(environment["caches"].values()) or "not reported"],
        ["MHz", environment["mhz"] or "not reported"],
        ["governor", environment["governor"] or "not reported"],
        ["memory", f"{environment['memory_mb']} MB"],
        ["GPU", environment["gpu"] or "none"],
        ["threads: cores they are kept on", pinned],
        ["load at start", environment["load_at_start"]],
        ["the harness adds", f"{environment['harness_overhead_us']:.1f} us a call"],
        *[[_rate_name(rate.what, rate.working_set_bytes), f"{rate.per_s / 1e9:,.1f} G/s"] for rate in record.rates],
        *environment["versions"].items(),
    ]
    return [
        section(
            "How to read it",
            paragraph(
                f"{config.launches} launches of {config.rounds} rounds of {config.round_seconds} s a backend and case, "
                "in random order within a round, each backend in a process of its own with the same number of threads, "
                f"after warming up. {_drawn(record)} A ratio pairs the same inputs of the same round. "
                "An interval holds the true value in 95 of 100 measurements; where one holds 1, the verdict is: "
                "cannot tell."
            ),
            paragraph(
                "The roofline is the least time of a call: that of reading the weights and multiplying the numbers, at "
                "the speeds of this machine, measured beside the backends. The share of the roofline is the roofline "
                "over the time of a call: 100% is as fast as the machine allows."
            ),
            paragraph(
                "Parity is the largest difference to eager PyTorch on the inputs that were timed, relative to the "
                "largest score. A backend whose answers differ is not equal, however fast."
            ),
        ),
        section("The machine", table((), facts, kind="facts")),
    ]


def _drawn(record: BenchRecord) -> str:
    """Say where the inputs came from, as `bench.harness.cases` draws them."""
    config = record.config
    lengths = "their lengths are those of such histories"
    if any(config.lengths):
        fixed = ", ".join(str(length) for length in config.lengths if length)
        lengths = f"their lengths are {fixed} slots" + (" and those of such histories" if 0 in config.lengths else "")
    sentence = f"Histories are parts of those of the held-out users in the bundle; {lengths}."
    if SIGNATURES.find(config.signature).takes_candidates:
        sentence += " Candidates are drawn by Zipf's law over the catalogue."
    return sentence


def _rate_name(what: str, size: int) -> str:
    return f"bytes moved, of {size / 2**20:,.1f} MB of weights" if what == "bytes" else "float32 operations"
