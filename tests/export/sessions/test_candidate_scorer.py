"""Candidates of many users are scored in one call, as each user alone; a click model gives their probabilities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bst import InputError
from export import CandidateScorer, UserScorer, open_bundle
from tests.conftest import Command, OnDemand, refused

REFUSAL = (
    "signature 'top_k' needs scores of a whole catalogue, and a model of task 'click' scores the candidates that a "
    "caller lists; ask for score_candidates"
)
HISTORIES = [[11, 18, 25], [], [999_999, 46]]
CANDIDATES = [[11, 18], [25, 11, 999_999], [46]]
CONTEXT = {"gender": ["F", None, "M"], "age": [31.5, 20, None], "request_time": [1_600_600_000, None, 1_600_500_000]}
EVENTS = {"kind": [["view", None, "buy"], [], None], "event_time": [None, [], [1_600_000_000, 1_600_000_009]]}


@pytest.fixture(scope="module")
def scorer(variants: OnDemand) -> CandidateScorer:
    return open_bundle(variants["clicks"]).scorer()


def test_users_in_one_call_get_what_each_gets_alone(scorer: CandidateScorer) -> None:
    together = scorer.score(HISTORIES, CANDIDATES, CONTEXT, events=EVENTS)
    assert together.scores.shape == (3, 3)
    for user, candidates in enumerate(CANDIDATES):
        context = {name: [values[user]] for name, values in CONTEXT.items()}
        events: dict[str, Any] = {name: [values[user]] for name, values in EVENTS.items()}
        alone = scorer.score([HISTORIES[user]], [candidates], context, events=events)
        assert alone.probabilities is not None
        assert together.probabilities is not None
        count = len(candidates)
        np.testing.assert_allclose(together.scores[user, :count], alone.scores[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(together.probabilities[user, :count], alone.probabilities[0], atol=1e-6)


def test_a_probability_is_the_sigmoid_of_the_score_and_0_where_there_is_nothing_to_score(
    scorer: CandidateScorer,
) -> None:
    answer = scorer.score(HISTORIES, CANDIDATES)
    known = np.isfinite(answer.scores)
    assert known.tolist() == [[True, True, False], [True, True, False], [True, False, False]]
    assert answer.probabilities is not None
    np.testing.assert_allclose(answer.probabilities[known], 1 / (1 + np.exp(-answer.scores[known])), atol=1e-6)
    assert not answer.probabilities[~known].any()
    assert answer.to_dict()["scores"][2][1:] == [None, None]


def test_what_a_user_had_and_how_changes_the_probabilities(scorer: CandidateScorer) -> None:
    plain = scorer.score([[11, 18]], [[25, 46]]).scores
    for changes in ({"context": {"age": [60]}}, {"events": {"kind": [["buy", "view"]]}}):
        assert not np.allclose(scorer.score([[11, 18]], [[25, 46]], **changes).scores, plain, atol=1e-6)


def test_a_model_of_next_items_gives_scores_alone_at_whatever_level_the_bundle_is(variants: OnDemand) -> None:
    ask = ([["item-11", "item-18"], ["item-25"]], [["item-11"], ["item-18", "nowhere"]])
    raw, index = (open_bundle(variants[name]).scorer().score(*ask) for name in ("text_ids", "index"))
    assert raw.probabilities is None
    np.testing.assert_allclose(raw.scores, index.scores, rtol=1e-5, atol=1e-6)
    assert raw.to_dict().keys() == {"scores"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (([[11]], [[18], [25]]), "1 histories and 2 lists of candidates; give one of each a user"),
        (([], []), "there is no user, or no candidate; give at least one id to score"),
        (([[11]], [[]]), "there is no user, or no candidate"),
        (([11], [[18]]), "the history 11 is no list; give a list of ids"),
        (([[11]], ["18"]), "the candidates '18' is text; give a list of ids"),
        (([[11]], [[18.5]]), "candidates holds float64, not int64"),
        (([["a"]], [[18]]), "history holds <U1, not int64"),
        (([[11]], [[18]], {"gender": "F"}), "context 'gender' is 'F', and there are 1 users; give one for each"),
        (([[11]], [[18]], {"gender": ["F", "M"]}), "and there are 1 users; give one for each"),
        (([[11]], [[18]], {"kind": ["buy"]}), "context 'kind' is no feature of the model; known: request_time, gender"),
    ],
)
def test_what_does_not_fit_is_refused(scorer: CandidateScorer, asked: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        scorer.score(*asked)


@pytest.mark.parametrize("backend", ["onnxruntime", "torchscript", "eager"])
def test_top_k_of_a_click_model_is_refused_and_score_candidates_named(
    variants: OnDemand, backend: str, bst_command: Command
) -> None:
    bundle = variants["clicks"]
    with pytest.raises(InputError, match=REFUSAL):
        open_bundle(bundle).recommender(backend)
    refused(bst_command("recommend", bundle, "--history", "11,999999", "--backend", backend), REFUSAL)


def test_the_answer_can_be_written_as_json(scorer: CandidateScorer) -> None:
    answer = scorer.score([[11]], [[18, 999_999]]).to_dict()
    assert json.loads(json.dumps(answer)) == answer


@pytest.fixture(scope="module")
def user_scorer(variants: OnDemand) -> UserScorer:
    return open_bundle(variants["clicks"]).user_scorer()


def test_users_that_are_kept_get_the_probabilities_of_their_histories(
    scorer: CandidateScorer, user_scorer: UserScorer
) -> None:
    vectors = user_scorer.encode(HISTORIES, CONTEXT, events=EVENTS)
    expected = scorer.score(HISTORIES, CANDIDATES, CONTEXT, events=EVENTS)
    for users in ([0, 1, 2], [2, 0], [1]):
        kept = user_scorer.score(vectors[users], [CANDIDATES[user] for user in users])
        for row, user in enumerate(users):
            count = len(CANDIDATES[user])
            assert kept.probabilities is not None
            assert expected.probabilities is not None
            np.testing.assert_allclose(kept.scores[row, :count], expected.scores[user, :count], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(
                kept.probabilities[row, :count], expected.probabilities[user, :count], rtol=0, atol=1e-6
            )


def test_kept_users_without_candidates_of_each_are_refused(user_scorer: UserScorer) -> None:
    vectors = user_scorer.encode([[11], [18]])
    with pytest.raises(InputError, match=r"^2 user vectors and 1 lists of candidates; give one of each a user$"):
        user_scorer.score(vectors, [[25]])
    with pytest.raises(InputError, match="there is no user, or no candidate"):
        user_scorer.score(vectors, [[], []])
    with pytest.raises(InputError, match="there is no user; give at least one history"):
        user_scorer.encode([])
    with pytest.raises(InputError, match=r"user_vector has shape \[2, 3\], where"):
        user_scorer.score(vectors[:, :3], [[25], [25]])


def test_a_next_item_bundle_keeps_no_users(bundle_path: Path) -> None:
    with pytest.raises(InputError, match="signature 'score_candidates_from_user' is of click models"):
        open_bundle(bundle_path).user_scorer()
