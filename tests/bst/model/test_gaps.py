"""Times between events as rows of a table."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bst.config import NUM_GAPS
from bst.model.gaps import Gaps

YEAR = 365 * 86_400
START = 1_600_000_000
ENDS = torch.iinfo(torch.int64)


def rows(times: list[int], request: int, real: list[bool] | None = None, *, to_next: bool = True) -> list[int]:
    slots = torch.tensor([real or [True] * len(times)])
    later = slots.sum(dim=1, keepdim=True) - slots.long().cumsum(dim=1)
    answer: Tensor = Gaps(to_next=to_next)(slots, later, torch.tensor([times]), torch.tensor([request]))
    return answer[0].tolist()


@pytest.mark.parametrize(
    ("gap", "row"),
    [(0, 1), (1, 2), (2, 3), (3, 3), (4, 4), (60, 7), (86_400, 18), (2**28 - 1, 29), (2**28, 30), (40 * YEAR, 30)],
)
def test_a_gap_has_the_row_of_its_power_of_two(gap: int, row: int) -> None:
    assert rows([START], START + gap) == [row]
    assert row < NUM_GAPS


def test_an_event_reaches_to_the_next_one_and_the_last_to_the_request() -> None:
    assert rows([START, START + 60, START + 64], START + 65) == [7, 4, 2]
    assert rows([START, START + 60, START + 64], START + 65, to_next=False) == [8, 4, 2]


@pytest.mark.parametrize("unknown", [0, -1, ENDS.min])
def test_a_time_of_0_or_less_is_not_known(unknown: int) -> None:
    assert rows([START, unknown, START + 60], START + 61) == [0, 0, 2]
    assert rows([START, START + 60], unknown) == [7, 0]
    assert rows([unknown, START], START + 1, to_next=False) == [0, 2]


@pytest.mark.parametrize("to_next", [True, False])
def test_times_that_run_backwards_or_lie_in_the_future_count_as_the_same_time(to_next: bool) -> None:
    assert rows([START + 100, START, START + 500], START + 200, to_next=to_next)[-1] == 1
    assert rows([START + 100, START], START + 1, to_next=True) == [1, 2]


def test_the_ends_of_int64_do_not_overflow() -> None:
    assert rows([1, ENDS.max], ENDS.max) == [30, 1]
    assert rows([ENDS.max], 1, to_next=False) == [1]


@pytest.mark.parametrize("shape", ["left", "middle", "right", "everywhere"])
def test_a_slot_that_is_not_real_is_skipped(shape: str) -> None:
    times, expected = [START, START + 60, START + 64], [7, 4, 2]
    places = {"left": [2, 3, 4], "middle": [0, 3, 4], "right": [0, 1, 2], "everywhere": [1, 3, 5]}[shape]
    spread, real = [START + 9_999] * 7, [False] * 7
    for place, time in zip(places, times, strict=True):
        spread[place], real[place] = time, True
    answer = rows(spread, START + 65, real)
    assert [answer[place] for place in places] == expected


def test_a_row_without_an_event_is_no_error() -> None:
    assert len(rows([START, 0], START, [False, False])) == 2
