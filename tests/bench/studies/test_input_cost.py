"""The cost of inputs beside the history."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from bench.studies.input_cost import NONE, race, ratios


class Session:
    """A session that remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.mode = nullcontext

    def run(self, prepared: int) -> None:
        self.calls.append(prepared)


def test_the_ratio_is_taken_within_a_round_and_the_middle_of_the_rounds_counts() -> None:
    seconds = {("ort", NONE): [1.0, 2.0, 4.0], ("ort", "times"): [1.1, 2.2, 40.0]}
    (_, name, micros, ratio, _), (_, other, *_) = ratios(seconds)
    assert (name, other) == (NONE, "times")
    assert (micros, ratio) == (2e6, 1.0)
    assert ratios(seconds)[1][3] == pytest.approx(1.1)


def test_every_bundle_is_called_alike_in_every_round() -> None:
    sessions: list[Any] = [Session(), Session()]
    seconds = race({("ort", name): (session, [0, 1]) for name, session in zip("ab", sessions, strict=True)}, 3)
    assert [len(times) for times in seconds.values()] == [3, 3]
    assert sessions[0].calls == sessions[1].calls
    assert set(sessions[0].calls) == {0, 1}
