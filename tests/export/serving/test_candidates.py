"""Candidates as rows score as the model does, with less work."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from bst.model import ClickBST
from export.contract.signatures import SCORE_CANDIDATES
from export.serving.candidates import CandidateRows
from export.serving.scorer import ClickScorer
from tests.bst.model import test_sequences
from tests.bst.model.test_click import NUMBER, ROWS, SEES_CANDIDATES, candidates_of, close, form, inputs_of, model_of
from tests.bst.model.test_sequences import READ, sequences_of
from tests.conftest import OnDemand

__all__ = ["form"]  # a fixture


@torch.no_grad()
def test_rows_give_the_logits_of_the_model(form: str) -> None:
    model, config = model_of(form)
    if form in SEES_CANDIDATES:
        with pytest.raises(ValueError, match="the history depends on the candidate: ask the model itself"):
            CandidateRows(model)
        return
    inputs, candidates = inputs_of(config), candidates_of(ROWS, NUMBER)
    user = model.encode_user(inputs)
    assert close(CandidateRows(model)(user, candidates), model.candidate_logits(user, candidates))
    inputs["items"] = torch.zeros_like(inputs["items"])
    user = model.encode_user(inputs)
    assert close(CandidateRows(model)(user, candidates), model.candidate_logits(user, candidates))


@torch.no_grad()
@pytest.mark.parametrize("name", [name for name in READ if name not in SEES_CANDIDATES])
def test_rows_of_several_sequences_give_the_logits_of_the_model(name: str) -> None:
    model, config = test_sequences.model_of(name)
    user = model.encode_user(inputs_of(config) | sequences_of())
    candidates = candidates_of(ROWS, NUMBER)
    assert close(CandidateRows(model)(user, candidates), model.candidate_logits(user, candidates))


@torch.no_grad()
def test_a_model_whose_history_depends_on_the_candidate_is_asked_itself() -> None:
    model, config = model_of("full_mean")
    scorer = ClickScorer(model, config, packed=True)
    user, candidates = scorer.encode(inputs_of(config)), candidates_of(ROWS, NUMBER)
    assert isinstance(model, ClickBST)
    assert torch.equal(scorer.logits(user, candidates), model.candidate_logits(user, candidates))


def test_onnx_runtime_joins_activations_to_products_and_no_norm_to_a_sum(variants: OnDemand, tmp_path: Path) -> None:
    """SkipLayerNormalization takes up to five times as long as the Add and the LayerNormalization that it stands for:
    docs/results/clicks.md.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that such a file is of this machine
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    path = variants["clicks"] / "onnx" / f"{SCORE_CANDIDATES}.onnx"
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimized.onnx", load_external_data=False).graph
    (loop,) = (node for node in graph.node if node.op_type == "Loop")
    (body,) = (attribute.g for attribute in loop.attribute if attribute.name == "body")
    types = [node.op_type for node in body.node]
    assert types.count("LayerNormalization") == 2
    assert "FusedGemm" in types
    assert types.count("LeakyRelu") == 1  # behind what the head adds for the user
    assert "SkipLayerNormalization" not in types
