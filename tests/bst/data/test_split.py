from pathlib import Path

import pytest

from bst import DataConfig, Dataset, InputError, leave_one_out, read_interactions
from tests.bst.data.test_sequences import SMALL


def test_the_last_event_is_for_testing_and_the_one_before_for_validation() -> None:
    split = leave_one_out(SMALL)
    test = split.test.batch(slice(None), 10)
    assert test.targets.tolist() == [4, 3]
    assert test.items.tolist() == [[0, 5, 2, 9], [1, 4, 4, 8]]
    assert test.context.tolist() == [[1], [3]]
    validation = split.validation.batch(slice(None), 10)
    assert validation.targets.tolist() == [9, 8]
    assert validation.items.tolist() == [[0, 5, 2], [1, 4, 4]]
    assert split.too_short == 1


EVENTS = """user_id,item_id,timestamp
1,10,2020-01-01
1,20,2020-01-02
1,30,2020-02-01
1,40,2020-02-02
2,10,2020-01-05
2,30,2020-02-05
3,20,2020-02-07
3,40,2020-02-08
4,20,2020-01-07
4,40,2020-01-08
"""


def split_events(path: Path, at: str, events: str = EVENTS, time_format: str | None = None) -> Dataset:
    (path / "events.csv").write_text(events)
    config = DataConfig(split_at=at, time_format=time_format)
    return Dataset.build(read_interactions(path / "events.csv", config))


def test_a_split_in_time_predicts_the_first_event_from_then_on(tmp_path: Path) -> None:
    dataset = split_events(tmp_path, "2020-02-01")
    split, items = dataset.split, dataset.sequences.items
    raw = dataset.vocabularies.items.raw
    assert split.rule == "the first event of each user from 2020-02-01 on"
    assert split.test.users.tolist() == [0, 1]  # user 3 has nothing before, user 4 nothing after
    assert raw(items[split.test.targets]).tolist() == [30, 30]
    assert raw(split.test.batch(slice(None), 10).items.numpy()).tolist() == [[10, 20], [0, 10]]
    assert split.validation.users.tolist() == [0, 3]
    assert raw(items[split.validation.targets]).tolist() == [20, 40]
    assert (split.train_stops - dataset.sequences.offsets[:-1]).tolist() == [1, 1, 0, 1]
    assert split.too_short == 2


def test_the_time_of_a_split_is_read_as_those_of_the_table(tmp_path: Path) -> None:
    day_first = "user_id,item_id,timestamp\n1,10,01/02/2020\n1,20,02/01/2020\n"
    dataset = split_events(tmp_path, "15/01/2020", day_first, "%d/%m/%Y")
    assert dataset.vocabularies.items.raw(dataset.sequences.items[dataset.split.test.targets]).tolist() == [10]
    numbers = "user_id,item_id,timestamp\n1,10,5\n1,20,7\n"
    assert len(split_events(tmp_path, "6", numbers).split.test) == 1


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("01/02/2020", r"--split-at '01/02/2020' is no time as in the table, whose last is 2020-02-08"),
        ("soon", "--split-at 'soon' is no time as in the table"),
    ],
)
def test_a_split_at_no_time_is_refused_with_an_example(tmp_path: Path, at: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_events(tmp_path, at)


def test_a_date_for_numbers_is_refused_with_the_number_of_the_last(tmp_path: Path) -> None:
    numbers = "user_id,item_id,timestamp\n1,10,874724710\n1,20,893286638\n"
    with pytest.raises(InputError, match=r"whose last is 893,286,638 \(1997-09-20 to 1998-04-22 if .* Unix seconds\)"):
        split_events(tmp_path, "1998-01-01", numbers)
