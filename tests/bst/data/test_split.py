from bst import leave_one_out
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
