from pathlib import Path

import polars as pl
import pytest

from bst import DataConfig, read_interactions


def read(path: Path, rows: list[tuple[int, int, int]], **data: object) -> tuple[list[str], list[tuple[int, int]]]:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    frame.write_csv(path / "events.csv")
    interactions = read_interactions(path / "events.csv", DataConfig(**data))  # type: ignore[arg-type]
    return interactions.facts.lines(), interactions.events.rows()


ONCE = [(1, 10, 1), (1, 20, 2), (2, 10, 1), (2, 30, 5)]


def test_a_clean_table_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, ONCE) == ([], [(1, 10), (1, 20), (2, 10), (2, 30)])


@pytest.mark.parametrize("twice", [[row for row in ONCE for _ in "ab"], ONCE + ONCE], ids=["in_turn", "appended"])
def test_rows_that_come_twice_are_said_and_can_be_dropped(tmp_path: Path, twice: list[tuple[int, int, int]]) -> None:
    lines, events = read(tmp_path, twice)
    assert lines[0] == "50.0 % of the rows repeat the one before (user and item): --drop-repeats leaves them out"
    assert len(events) == 8
    assert read(tmp_path, twice, drop_repeats=True)[1] == [(1, 10), (1, 20), (2, 10), (2, 30)]


def test_baskets_that_come_twice_are_found_whatever_stands_between(tmp_path: Path) -> None:
    basket = [(1, 10, 1), (1, 20, 1), (1, 30, 1)]
    lines, _ = read(tmp_path, basket + basket)
    assert lines[0].startswith("50.0 % of the rows repeat")
    assert read(tmp_path, basket + basket, drop_repeats=True)[1] == [(1, 10), (1, 20), (1, 30)]


def test_what_is_left_holds_no_repeat_either(tmp_path: Path) -> None:
    rows = [(1, 10, 1), (1, 20, 1), (1, 10, 1), (1, 20, 2)]
    assert read(tmp_path, rows, drop_repeats=True)[1] == [(1, 10), (1, 20)]


def test_an_item_that_comes_again_later_is_no_repeat(tmp_path: Path) -> None:
    assert read(tmp_path, [(1, 10, 1), (1, 20, 2), (1, 10, 3)])[0] == []


def test_events_at_one_time_are_said(tmp_path: Path) -> None:
    lines, _ = read(tmp_path, [(1, 10, 1), (1, 20, 1), (2, 30, 1), (2, 40, 2)])
    assert lines == ["25.0 % of the events share their time with the one before: the file's order decides"]
