"""A recommender takes raw ids as a list and gives what the signature `top_k` gives, at whatever level a bundle is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bst import InputError
from export import Recommendations, open_bundle
from tests.conftest import Command


@pytest.mark.parametrize("history", [[11, 18, 25], (11, 18, 25), np.array([11, 18, 25]), pl.Series([11, 18, 25])])
def test_a_recommendation_is_the_answer_of_top_k(bundle_path: Path, history: Any) -> None:
    bundle = open_bundle(bundle_path)
    answer = bundle.recommender().recommend(history, {"gender": "F", "region": None})
    stated = bundle.session()(
        {
            "history": np.array([[11, 18, 25]]),
            "gender": np.array(["F"], dtype=object),
            "region": np.array([bundle.manifest.context["region"].padding]),
        }
    )
    assert answer == Recommendations(tuple(stated["item_ids"][0].tolist()), tuple(stated["scores"][0].tolist()))
    assert bundle.recommender().recommend(history, {"gender": "F"}, k=2).item_ids == answer.item_ids[:2]


def test_a_bundle_of_indices_recommends_raw_ids(variants: dict[str, Path]) -> None:
    raw, index = (open_bundle(variants[kind]).recommender() for kind in ("text_ids", "index"))
    ask = (["item-11", "item-18", "unheard of"], {"gender": "M", "region": 5})
    assert raw.recommend(*ask).item_ids == index.recommend(*ask).item_ids
    assert all(item.startswith("item-") for item in index.recommend().item_ids if isinstance(item, str))


def test_the_caller_says_k_where_the_bundle_takes_it_and_items_that_are_left_out_leave_fewer(
    variants: dict[str, Path],
) -> None:
    recommender = open_bundle(variants["numbers_k_input"]).recommender()
    assert [len(recommender.recommend([11], k=k).item_ids) for k in (None, 1, 3)] == [8, 1, 3]
    assert not {11, 18} & set(recommender.recommend([11, 18]).item_ids)
    with pytest.raises(InputError, match="k is 9, not between 1 and 8"):
        recommender.recommend([11], k=9)


def test_the_command_prints_what_the_recommender_gives(bst_command: Command, bundle_path: Path) -> None:
    answer = open_bundle(bundle_path).recommender("eager").recommend([18, 11], {"gender": "M"})
    _, out, _ = bst_command(
        *("recommend", bundle_path, "--history", "18,11", "--context", "gender=M", "--backend", "eager", "--json")
    )
    assert json.loads(out) == answer.to_dict()


@pytest.mark.parametrize(
    ("history", "context", "k", "words"),
    [
        ("11,18", {}, None, "the history '11,18' is text; give a list of ids"),
        (["11"], {}, None, "history holds <U2, not int64"),
        ([11.5], {}, None, "history holds float64, not int64"),
        ([[11], [18]], {}, None, r"history has shape \[1, 2, 1\]"),
        ([11], {"gander": "F"}, None, "context 'gander' is no feature of the model; known: gender, region"),
        ([11], {"gender": 5}, None, "gender holds 5, not string"),
        ([11], {}, 6, "k 6: this bundle gives 1 to 5"),
        ([11], {}, 0, "k 0: this bundle gives 1 to 5"),
    ],
)
def test_what_a_model_cannot_take_is_refused(
    bundle_path: Path, history: Any, context: Any, k: int | None, words: str
) -> None:
    recommender = open_bundle(bundle_path).recommender("eager")
    with pytest.raises(InputError, match=words):
        recommender.recommend(history, context, k=k)


def test_names_of_items_come_beside_their_ids(bundle_path: Path) -> None:
    recommender = open_bundle(bundle_path).recommender("eager")
    recommender.names = dict.fromkeys(range(1000), "a name")
    answer = recommender.recommend([11], k=2)
    assert answer.names == ("a name", "a name")
    assert answer.to_dict().keys() == {"item_ids", "scores", "names"}
