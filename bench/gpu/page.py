"""The page of `bench.gpu`: the result of each part, on one page without a script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from markupsafe import Markup

from bench.report.columns import micro
from bench.report.page import page, paragraph, section, table

HEADS = ("backend", "rows a call", "p50 us", "95% interval", "times as fast as eager on the CPU", "95% interval")


def gpu_page(report: dict[str, Any]) -> str:
    """Write the report of `bench.gpu` as HTML."""
    lead = f"{report['device']}, CUDA {report['cuda'] or 'none'}, {report['date']}: {report['command']}"
    return page("bst on a GPU", lead, _sections(report))


def _sections(report: dict[str, Any]) -> Iterator[Markup]:
    parts = report["parts"]
    states = [(name, result["state"], f"{result['seconds']:.0f}", _details(result)) for name, result in parts.items()]
    yield section("What was run", table(("part", "state", "seconds", "details"), states, (2,)))
    for name, result in parts.items():
        if "rows" in result:
            head = (*HEADS, "max error", "answers")
            yield section(f"Latency: {name}", table(head, map(_row, result["rows"]), (1, 2, 3, 4, 5, 6)))
        if "runs" in result:
            yield section("Training", *_training(result))
    versions = report["environment"]["versions"].items()
    yield section("Where", table((), [("CPU", report["environment"]["cpu"]), *versions], kind="facts"))


def _details(result: dict[str, Any]) -> str:
    lines = [result["error"]] if result.get("error") else []
    return "; ".join([*lines, *(f"missing: {name}, {why}" for name, why in result.get("missing", {}).items())])


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    error = "-" if row["max_error"] is None else f"{row['max_error']:.0e}"
    answers = row["answers"] if row["meant_to_be_equal"] or row["answers"] == "equal" else f"rounded: {row['answers']}"
    low, high = row["p50_us_interval"]
    slow, fast = row["interval"]
    ratio = (f"{row['times_as_fast_as_cpu_eager']:.2f}", f"{slow:.2f}-{fast:.2f}")
    times = (micro(row["p50_us"]), f"{micro(low)}-{micro(high)}")
    return row["backend"], row["batch_size"], *times, *ratio, error, answers


def _training(result: dict[str, Any]) -> Iterator[Markup]:
    rows = [
        (name, _listed(run["loss"], ".4f"), f"{result['loss_off_by'][name]:.2%}", _listed(run["rows_per_s"], ",.0f"))
        for name, run in result["runs"].items()
    ]
    yield table(("device and precision", "loss of each epoch", "difference from the CPU's", "rows/s"), rows, (2,))
    yield paragraph(f"A loss may be off by {result['allowed']:.0%} of that of the CPU in float32.")


def _listed(values: Iterable[float], form: str) -> str:
    return ", ".join(format(value, form) for value in values)
