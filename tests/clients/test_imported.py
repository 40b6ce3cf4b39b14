"""Every client serves a model of another library: features of candidates, unknown items, long histories."""

from __future__ import annotations

from typing import Any

import pytest

from export import open_bundle
from tests.clients.conftest import EVERY, Client
from tests.conftest import OnDemand, refused

HISTORY = ["sku-3", "sku-1", "no-such", "sku-9", "sku-4", "sku-7", "sku-7"]  # two more than are read
KINDS = ["view", "odd", "", "buy", "view", "buy", "buy"]
CANDIDATES = ["sku-1", "no-such", "sku-4"]
SEQUENCES = {"skipped_item": ["sku-9", "no-such", "sku-9", "sku-1", "sku-4"], "bought_item": ["sku-7"]}
LEVELS = pytest.mark.parametrize("variant", ["imported", "imported_index"])
ASKED = ("--context", "city=Rome,price=2.5", "--event", f"kind_history={','.join(KINDS)}")
CALL = ("--history", ",".join(HISTORY), *ASKED, "--candidates", ",".join(CANDIDATES))


def scores_of_python(bundles: OnDemand, variant: str, kinds: list[str | None]) -> list[float]:
    context: dict[str, Any] = {"city": ["Rome"], "price": [2.5]}
    beside = {"events": {"kind_history": [KINDS]}, "candidate_features": {"kind": [kinds]}}
    answer = open_bundle(bundles[variant]).scorer().score([HISTORY], [CANDIDATES], context, **beside)
    scores: list[float] = answer.scores[0].tolist()
    return scores


@EVERY
@LEVELS
def test_the_features_of_candidates_and_unknown_items_count_as_in_python(
    client: Client, variants: OnDemand, variant: str
) -> None:
    code, answer, stderr = client("score", variants[variant], *CALL, "--candidate-feature", "kind=buy,view,odd")
    assert (code, stderr) == (0, "")
    expected = scores_of_python(variants, variant, ["buy", "view", "odd"])
    assert answer["scores"] == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) == len(CANDIDATES)
    code, without, _ = client("score", variants[variant], *CALL)
    assert code == 0
    assert without["scores"] == pytest.approx(scores_of_python(variants, variant, [None] * 3), abs=1e-5)
    assert without["scores"][0] != pytest.approx(answer["scores"][0], abs=1e-4)


def scores_of_sequences(bundles: OnDemand, variant: str, sequences: dict[str, list[str]]) -> list[float]:
    scorer = open_bundle(bundles[variant]).scorer()
    beside = {"events": {"kind_history": [KINDS]}, "sequences": {name: [ids] for name, ids in sequences.items()}}
    answer = scorer.score([HISTORY], [CANDIDATES], {"city": ["Rome"]}, **beside)  # type: ignore[arg-type]
    scores: list[float] = answer.scores[0].tolist()
    return scores


@EVERY
@pytest.mark.parametrize("variant", ["pairs", "pairs_index"])
def test_each_sequence_counts_as_in_python(client: Client, variants: OnDemand, variant: str) -> None:
    call = ("--history", ",".join(HISTORY), "--context", "city=Rome", "--event", f"kind_history={','.join(KINDS)}")
    call = (*call, "--candidates", ",".join(CANDIDATES))
    options = [word for name, ids in SEQUENCES.items() for word in ("--sequence", f"{name}={','.join(ids)}")]
    for words, sequences in ((options, SEQUENCES), (options[2:], {"bought_item": ["sku-7"]}), ([], {})):
        code, answer, stderr = client("score", variants[variant], *call, *words)
        assert (code, stderr) == (0, "")
        assert answer["scores"] == pytest.approx(scores_of_sequences(variants, variant, sequences), abs=1e-5)
    answer = client("score", variants[variant], *call, "--sequence", "liked=sku-7")
    refused(
        answer, "--sequence 'liked=sku-7' is not one of NAME=VALUE with a feature of the model, once: skipped_item,"
    )


@EVERY
@pytest.mark.parametrize("variant", ["imported", "imported_index", "pairs", "pairs_index"])
def test_a_model_of_another_library_verifies(client: Client, variants: OnDemand, variant: str) -> None:
    code, verdict, stderr = client("verify", variants[variant])
    assert (code, stderr, verdict["failure"]) == (0, "", None)


@EVERY
def test_features_for_another_number_of_candidates_are_refused(client: Client, variants: OnDemand) -> None:
    answer = client("score", variants["imported"], *CALL, "--candidate-feature", "kind=buy")
    refused(answer, "'kind' has 1 values, and the candidates 3; give one for each item")


def test_every_backend_of_python_gives_the_same_scores(variants: OnDemand) -> None:
    """Looked up in Python at index level, in the file at the other: unknown items keep their place in both."""
    expected = scores_of_python(variants, "imported", ["buy", "view", "odd"])
    assert scores_of_python(variants, "imported_index", ["buy", "view", "odd"]) == pytest.approx(expected, abs=1e-6)
    bundle = open_bundle(variants["imported"])
    beside: dict[str, Any] = {
        "events": {"kind_history": [KINDS, []]},
        "candidate_features": {"kind": [["buy", "view", "odd"], None]},
    }
    context = {"city": ["Rome", None], "price": [2.5, None]}
    for backend in ("eager", "torchscript"):
        answer = bundle.scorer(backend).score([HISTORY, []], [CANDIDATES, ["sku-1"]], context, **beside)
        assert answer.scores[0].tolist() == pytest.approx(expected, abs=1e-5)
        assert answer.scores[1].tolist()[1:] == [float("-inf")] * 2  # where there is no candidate
