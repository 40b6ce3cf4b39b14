"""A soak finds the wrong answer among thousands, and memory that grows; and a short one of the real thing passes."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from bench.harness.closed_loop import WINDOWS, soak
from bench.record.record import BenchRecord, SoakRow, SoakWindow
from bench.record.statistics import Interval
from bst import InputError
from export import Session, open_bundle
from export.proof.golden import GoldenCall, read_golden
from tests.conftest import Command

DOCS = Path(__file__).parents[3] / "docs"


class Spoilt(Session):
    """A session that answers one call in a hundred with scores that are a little off."""

    def __init__(self, inner: Session) -> None:
        super().__init__(inner.signature)
        self.inner, self.calls = inner, 0

    def prepare(self, inputs: Mapping[str, Any]) -> Any:
        return self.inner.prepare(inputs)

    def run(self, prepared: Any) -> Any:
        self.calls += 1
        return self.calls % 100 == 0, self.inner.run(prepared)

    def finish(self, outputs: Any) -> Any:
        spoilt, found = outputs
        answer = dict(self.inner.finish(found))
        if spoilt:
            answer["scores"] = answer["scores"] * np.float32(1.001)
        return answer


@pytest.fixture
def golden(bundle_path: Path) -> list[GoldenCall]:
    return read_golden(bundle_path / "golden", open_bundle(bundle_path).manifest.signature("all_scores"))


def test_one_wrong_answer_in_a_hundred_is_counted_and_told(bundle_path: Path, golden: list[GoldenCall]) -> None:
    spoilt = Spoilt(open_bundle(bundle_path).session("onnxruntime", "all_scores", threads=1))
    found = soak(spoilt, golden, 4, 2.0)
    assert found.wrong == pytest.approx(spoilt.calls / 100, rel=0.1)
    assert found.wrong > 0
    assert "of the largest scores, 1e-05 is allowed" in str(found.failure)


def test_right_answers_are_counted_in_every_window(bundle_path: Path, golden: list[GoldenCall]) -> None:
    session = open_bundle(bundle_path).session("onnxruntime", "all_scores", threads=1)
    found = soak(session, golden, 2, 2.0)
    assert (found.wrong, found.failure, len(found.windows)) == (0, None, WINDOWS)
    assert found.same_bits >= sum(one.calls for one in found.windows) > 0
    assert all(0 < one.p50_us <= one.p99_us for one in found.windows)


def test_the_warm_up_asks_the_largest_call_alone_and_then_all(bundle_path: Path, golden: list[GoldenCall]) -> None:
    session = open_bundle(bundle_path).session("onnxruntime", "all_scores", threads=1)
    run, asked = session.run, []

    def watched(prepared: Any) -> Any:
        asked.append(len(run(prepared)[0]))
        return run(prepared)

    session.run = watched  # type: ignore[method-assign]
    soak(session, golden, 1, 3.0)
    rows = [len(one.outputs["scores"]) for one in golden]
    warm_up = list(itertools.takewhile(max(rows).__eq__, asked[len(golden) :]))
    assert len(warm_up) > 10
    assert set(asked[len(golden) + len(warm_up) :]) == set(rows)


def test_memory_that_is_kept_shows_as_growth(bundle_path: Path, golden: list[GoldenCall]) -> None:
    session = open_bundle(bundle_path).session("onnxruntime", "all_scores", threads=1)
    run, kept = session.run, []

    def keeping(prepared: Any) -> Any:
        kept.append(np.ones(2000))
        return run(prepared)

    session.run = keeping  # type: ignore[method-assign]
    growth = soak(session, golden, 2, 2.0).growth
    assert growth is not None
    assert growth > 0.01


def test_a_soak_that_is_too_short_for_its_windows_says_so(bundle_path: Path, golden: list[GoldenCall]) -> None:
    session = open_bundle(bundle_path).session("onnxruntime", "all_scores", threads=1)
    run, asked = session.run, itertools.count()

    def slow(prepared: Any) -> Any:
        # A busy machine makes windows long, so calls must be slow for one window to have none.
        if next(asked) >= len(golden):
            time.sleep(0.3)
        return run(prepared)

    session.run = slow  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"soak_seconds=1e-05: no call ended in one of the windows of .* s; give more"):
        soak(session, golden, 1, 1e-5)


def test_a_thread_that_breaks_ends_the_soak(bundle_path: Path, golden: list[GoldenCall]) -> None:
    spoilt = Spoilt(open_bundle(bundle_path).session("onnxruntime", "all_scores", threads=1))
    run = spoilt.run

    def breaking(prepared: Any) -> Any:
        if spoilt.calls > 200:
            raise RuntimeError("broken in the middle")
        return run(prepared)

    spoilt.run = breaking  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="broken in the middle"):
        soak(spoilt, golden, 3, 60.0)


@pytest.mark.parametrize(("growth", "fails"), [(0.009, False), (0.011, True)])
def test_memory_may_grow_by_one_percent(growth: float, fails: bool) -> None:
    row = SoakRow(
        backend="onnxruntime",
        num_items=40,
        threads=1,
        clients=8,
        wrong=0,
        failure=None,
        same_bits=2,
        growth=growth,
        tail_speed=Interval(value=1.0, low=0.9, high=1.1),
        tail_verdict="cannot tell",
        windows=(SoakWindow(calls=2, p50_us=1.0, p99_us=2.0, memory_mb=100.0),),
    )
    record = BenchRecord.model_construct(latency=(), load_limits=(), cold=(), soak=(row,), broken=(), unavailable={})
    assert bool(record.failures) == fails
    assert all("memory grew by 1.1%, 1% is allowed" in one for one in record.failures)


def test_a_short_soak_of_onnx_runtime_and_torchscript_finds_nothing_wrong(
    bst_command: Command, bundle_path: Path, tmp_path: Path
) -> None:
    files = "--json", tmp_path / "soak.json", "--html", tmp_path / "soak.html"
    code, out, err = bst_command("bench", bundle_path, "--mode", "soak", "--soak-seconds", 1, *files)
    assert (code, err) == (0, "")
    record = json.loads((tmp_path / "soak.json").read_text())
    jsonschema.validate(record, json.loads((DOCS / "reference" / "bench.schema.json").read_text()))
    assert [(row["backend"], row["clients"], row["wrong"]) for row in record["soak"]] == [
        ("onnxruntime", 8, 0),
        ("torchscript", 8, 0),
    ]
    assert "onnxruntime        8" in out
    assert "Soak: a long time under load" in (tmp_path / "soak.html").read_text()
