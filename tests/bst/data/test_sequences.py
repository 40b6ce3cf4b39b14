import numpy as np
import pytest
import torch

from bst import InputError, Sequences


def sequences(*histories: list[int], context: list[list[int]] | None = None) -> Sequences:
    return Sequences.from_histories(histories, context)


SMALL = sequences([5, 2, 9, 4], [7, 7], [1, 4, 4, 8, 3], context=[[1], [2], [3]])


def test_histories_are_joined_one_after_another() -> None:
    joined = Sequences.from_histories([[5, 2], (7,), np.array([1, 4]), torch.tensor([8])], [[1], [0], [2], [3]])
    assert joined.items.tolist() == [5, 2, 7, 1, 4, 8]
    assert joined.offsets.tolist() == [0, 2, 3, 5, 6]
    assert joined.context.tolist() == [[1], [0], [2], [3]]
    assert Sequences.from_histories([[3]]).context.shape == (1, 0)
    assert Sequences.from_histories([]).num_users == 0


@pytest.mark.parametrize(
    ("histories", "context", "message"),
    [
        ([[1, 0]], None, r"history 0 is \[1, 0\]"),
        ([[1], []], None, r"history 1 is \[\]"),
        ([[1.5]], None, r"history 0 is \[1\.5\]"),
        ([["a"]], None, r"history 0 is \['a'\]"),
        ([[1, 5], [2]], [[1]], "1 rows of context, .* for 2 histories of 3 events"),
        ([[1], [2]], [[1], [1, 2]], r"\[1, 2\] wide"),
        ([np.zeros(0, dtype=np.int64)], None, r"history 0 is \[\]"),
        ([[2**31, 2]], None, "history 0 is"),
        ([[1]], [[-1]], r"row 0 of context is \[-1\]"),
        ([[1]], [[1.7]], r"row 0 of context is \[1\.7\]"),
        ([[1]], [["a"]], r"row 0 of context is \['a'\]"),
        ([[1]], [[2**31]], "row 0 of context is"),
        ([[1]], [1], "row 0 of context is 1"),
    ],
)
def test_histories_that_mean_nothing_are_refused(histories: object, context: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Sequences.from_histories(histories, context)  # type: ignore[arg-type]
