"""A model of several sequences answers as its library does in every format, each sequence for itself."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from bst.errors import InputError
from export import CandidateScorer, open_bundle
from export.page import require_page
from export.proof.golden import read_golden
from tests.bst.imports.fuxi_folder import PAIRS
from tests.bst.imports.libraries import Fuxi, randomised
from tests.bst.imports.test_fuxictr import expected, requests
from tests.conftest import OnDemand

REQUESTS = requests(PAIRS)
LEVELS = pytest.mark.parametrize("variant", ["pairs", "pairs_index"])


def arguments(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "histories": [row["history"] for row in rows],
        "candidates": [row["candidates"] for row in rows],
        "context": {"city": [row["city"] for row in rows]},
        "events": {"kind_history": [row["kinds"] for row in rows]},
        "candidate_features": {"kind": [row["candidate_kinds"] for row in rows]},
        "sequences": {f"{name}_item": [row[name] for row in rows] for name in ("skipped", "bought")},
    }


def of_the_library() -> list[torch.Tensor]:
    model = randomised(Fuxi(PAIRS.features, PAIRS.settings))
    return [expected(PAIRS, model, row) for row in REQUESTS]


@LEVELS
@pytest.mark.parametrize("backend", ["onnxruntime", "torchscript", "eager"])
def test_every_backend_gives_the_logits_of_the_library(variant: str, backend: str, variants: OnDemand) -> None:
    """Alone and in one batch: each sequence empty, short, full and longer, with unknown ids, beside each other one."""
    scorer = open_bundle(variants[variant]).scorer(backend)
    together = scorer.score(**arguments(REQUESTS)).scores
    for row, batched, logits in zip(REQUESTS, together, of_the_library(), strict=True):
        bound = 1e-5 * float(logits.abs().max())
        alone = scorer.score(**arguments([row])).scores[0]
        np.testing.assert_allclose(alone, logits, rtol=0, atol=bound)
        np.testing.assert_allclose(batched, logits, rtol=0, atol=bound)


@pytest.fixture(scope="module")
def scorer(variants: OnDemand) -> CandidateScorer:
    return open_bundle(variants["pairs"]).scorer()


@pytest.mark.parametrize("name", ["history", "skipped", "bought"])
def test_each_sequence_counts_for_itself(name: str, scorer: CandidateScorer) -> None:
    row = {**REQUESTS[-1], "kinds": None}
    whole = scorer.score(**arguments([row])).scores
    without = scorer.score(**arguments([{**row, name: []}])).scores
    assert np.abs(whole - without).max() > 1e-3


def test_a_sequence_that_is_left_out_is_empty(scorer: CandidateScorer) -> None:
    row = REQUESTS[-1]
    empty = scorer.score(**arguments([{**row, "skipped": []}])).scores
    named = arguments([row])
    del named["sequences"]["skipped_item"]
    assert (scorer.score(**named).scores == empty).all()
    named["sequences"]["skipped_item"] = [None]
    assert (scorer.score(**named).scores == empty).all()


@pytest.mark.parametrize(
    ("variant", "backend", "message"),
    [
        ("pairs", "onnxruntime", "axis dimensions must match: Axis 0 has mismatched dimensions"),
        ("pairs", "torchscript", "skipped_item has 1 rows for 2 users; give a row each"),
        ("pairs_index", "torchscript", "skipped_item has 1 rows for 2 users; give a row each"),
    ],
)
def test_a_sequence_of_another_number_of_users_is_refused_by_the_files_themselves(
    variant: str, backend: str, message: str, variants: OnDemand
) -> None:
    bundle = open_bundle(variants[variant])
    signature = bundle.manifest.signature("score_candidates")
    call = next(call for call in read_golden(bundle.path / "golden", signature) if len(call.inputs["candidates"]) == 1)
    session = bundle.session(backend, signature="score_candidates")
    twice = {name: np.concatenate([array, array]) for name, array in call.inputs.items()}
    session.run(session.prepare(twice))
    with pytest.raises(Exception, match=message):
        session.run(session.prepare({**twice, "skipped_item": call.inputs["skipped_item"]}))


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ({"clicked": [["sku-1"]]}, "sequences 'clicked' is no feature of the model; known: skipped_item, bought_item"),
        ({"skipped_item": ["sku-1"]}, "the skipped_item 'sku-1' is text; give a list of ids"),
        ({"skipped_item": [["sku-1"], []]}, "and there are 1 users; give one for each"),
        ({"skipped_item": [[7]]}, "skipped_item holds 7, not string"),
    ],
)
def test_sequences_that_are_none_of_the_model_are_refused(
    sequences: dict[str, Any], message: str, scorer: CandidateScorer
) -> None:
    with pytest.raises(InputError, match=message):
        scorer.score([["sku-1"]], [["sku-3"]], sequences=sequences)


def test_the_page_in_the_browser_which_picks_one_history_refuses_it(variants: OnDemand) -> None:
    with pytest.raises(
        InputError, match=r"the page picks one history, and .* reads skipped_item, bought_item beside it"
    ):
        require_page(variants["pairs"])


def test_an_edge_of_the_history_is_recorded_with_the_same_edge_of_every_sequence(variants: OnDemand) -> None:
    bundle = open_bundle(variants["pairs"])
    golden = read_golden(bundle.path / "golden", bundle.manifest.signature("score_candidates"))
    calls = {call.name: call.inputs for call in golden}
    for name in ("history", "skipped_item", "bought_item"):
        assert set(calls["empty"][name].flat) == {""}
        assert "" not in calls["full"][name]
        assert calls["longer_than_max_length"][name].size > {"history": 5, "skipped_item": 4, "bought_item": 3}[name]
    batch = calls["edges_in_one_batch"]
    assert len({batch[name].shape[1] for name in ("history", "skipped_item", "bought_item")}) > 1


def test_a_reader_that_knows_one_sequence_alone_is_refused_by_the_signature(scorer: CandidateScorer) -> None:
    """It ignores the field of the manifest that it does not know, and then lacks inputs that the signature has."""
    alone = scorer.manifest.model.model_copy(update={"sequences": ()})
    older = CandidateScorer(scorer.session, scorer.manifest.model_copy(update={"model": alone}))
    with pytest.raises(InputError, match="skipped_item is missing; bought_item is missing; score_candidates takes"):
        older.score([["sku-1"]], [["sku-3"]], {"city": ["Rome"]})


def test_the_states_of_every_sequence_are_computed_once_for_all_candidates(variants: OnDemand) -> None:
    """Two blocks of three sequences: the histories attend outside of the loop over candidates, a candidate inside."""
    graph = onnx.load(variants["pairs"] / "onnx" / "score_candidates.onnx", load_external_data=False).graph
    (loop,) = (node for node in graph.node if node.op_type == "Loop")
    (inside,) = (attribute.g for attribute in loop.attribute)
    assert [Counter(node.op_type for node in part.node)["Softmax"] for part in (graph, inside)] == [6, 6]
    history = open_bundle(variants["pairs"]).manifest.history
    assert history is not None
    assert history.once
