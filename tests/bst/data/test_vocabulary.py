import numpy as np
import polars as pl
import pytest

from bst import InputError, Vocabularies, Vocabulary


def test_indices_start_at_one_in_the_order_of_the_ids() -> None:
    vocabulary = Vocabulary.fit(pl.Series([30, 10, 20, 10, None]))
    assert vocabulary.indices([10, 20, 30]).tolist() == [1, 2, 3]


@pytest.mark.parametrize("ids", [[5, 900, 7], ["b", "a", "ä"]])
def test_raw_ids_survive_the_way_there_and_back(ids: list) -> None:
    vocabulary = Vocabulary.fit(pl.Series(ids))
    assert vocabulary.raw(vocabulary.indices(ids)).tolist() == ids
    assert vocabulary.raw(np.array([[0, 1]])).shape == (1, 2)


@pytest.mark.parametrize(("ids", "stranger"), [([5, 900, 7], 6), ([5, 900, 7], 10**9), (["b", "a"], "c"), (["b"], "")])
def test_what_the_vocabulary_does_not_hold_has_index_zero(ids: list, stranger: object) -> None:
    vocabulary = Vocabulary.fit(pl.Series(ids))
    assert vocabulary.indices([stranger, None, ids[0]]).tolist()[:2] == [0, 0]
    assert vocabulary.indices([ids[0]])[0] > 0


@pytest.mark.parametrize(("ids", "padding"), [([1, 2], 0), ([0, 1], -1), ([-1, 0], -(2**63)), (["a"], "")])
def test_the_padding_value_is_never_a_real_id(ids: list, padding: object) -> None:
    assert Vocabulary.fit(pl.Series(ids)).padding == padding


def test_ids_of_the_other_kind_are_refused() -> None:
    with pytest.raises(InputError, match="'a' are text, but the vocabulary holds numbers"):
        Vocabulary.fit(pl.Series([1, 2])).indices(["a"])
    with pytest.raises(InputError, match="1 are numbers, but the vocabulary holds text"):
        Vocabulary.fit(pl.Series(["a"])).indices([1])


def test_vocabularies_survive_json() -> None:
    both = Vocabularies(Vocabulary.fit(pl.Series([3, 1])), {"gender": Vocabulary.fit(pl.Series(["F", None, "M"]))})
    again = Vocabularies.from_dict(both.to_dict())
    assert again.items.ids.to_list() == [1, 3]
    assert again.context["gender"].ids.to_list() == ["F", "M"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dtype": "int64", "ids": [2, 1]}, "ascending"),
        ({"dtype": "int64", "ids": [1, 1]}, "distinct"),
        ({"dtype": "int64", "ids": ["a"]}, "another type"),
        ({"dtype": "float", "ids": [1.0]}, "not known"),
    ],
)
def test_a_damaged_vocabulary_is_refused(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Vocabulary.from_dict(values)
