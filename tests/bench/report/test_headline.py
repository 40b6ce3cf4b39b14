"""Tiles and the last line of a record: no ratio without its interval and its verdict."""

import pytest

from bench import BenchRecord
from bench.record.record import LatencyRow
from bench.record.statistics import Interval
from bench.report.report import html_page
from bench.report.tables import banners, headline, summary


def told(record: BenchRecord, verdict: str, best_verdict: str = "faster") -> tuple[BenchRecord, LatencyRow]:
    """The same record as if ONNX Runtime took 1 us, and had been 2.32 times as fast, more or less."""
    low, high = (0.21, 4.64) if verdict == "cannot tell" else (2.1, 2.5)
    changes = {"to_eager": Interval(value=2.32, low=low, high=high), "verdict": verdict}
    row = next(row for row in record.latency if row.backend == "onnxruntime")
    quick = row.latency.model_copy(update={"p50_us": Interval(value=1, low=1, high=1)})
    row = row.model_copy(update={**changes, "best": "pt2", "best_verdict": best_verdict, "latency": quick})
    others = [one for one in record.latency if one.backend != "onnxruntime"]
    return record.model_copy(update={"latency": (*others, row)}), row


@pytest.mark.bundle
def test_a_ratio_that_cannot_be_told_apart_is_no_headline(record: BenchRecord) -> None:
    unsure, row = told(record, "cannot tell")
    assert headline(row) == ("cannot tell", "onnxruntime cannot be told apart from eager: 2.32x (0.21-4.64)")
    assert "onnxruntime at 1.0 us, which cannot be told apart from eager (2.32 times as fast, 0.21-4.64)" in summary(
        unsure
    )
    page = html_page(unsure)
    assert "2.32x</b>" not in page
    assert "cannot be told apart from eager: 2.32x (0.21-4.64)" in page


@pytest.mark.bundle
def test_a_headline_has_its_interval_and_names_whom_it_ties_with(record: BenchRecord) -> None:
    sure, row = told(record, "faster", "cannot tell")
    assert headline(row) == ("2.32x", "onnxruntime to eager (2.10-2.50: faster), which cannot be told apart from pt2")
    assert "2.32 times (2.10-2.50) as fast as eager, and cannot be told apart from pt2" in summary(sure)
    assert "onnxruntime to eager (2.10-2.50: faster)" in html_page(sure)


@pytest.mark.bundle
def test_a_machine_that_drifted_much_is_a_banner(record: BenchRecord) -> None:
    rates = [
        rate.model_copy(update={"spread": spread}) for rate, spread in zip(record.rates, (0.12, 0.4), strict=False)
    ]
    drifted = record.model_copy(update={"rates": tuple(rates)})
    (line,) = banners(drifted)
    assert "changed by 40% between launches" in line
    assert f'<p class="banner">{line}'.replace("'", "&#39;") in html_page(drifted)
    calm = record.model_copy(update={"rates": tuple(rate.model_copy(update={"spread": 0.2}) for rate in record.rates)})
    assert banners(calm) == []
