"""The plain export answers what the bundle answers, where it is meant to be equal."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from bench.contestants.plain import plain
from bst import BST, BSTConfig
from export import TopK
from export.contract.signatures import Signature
from export.serving.scorer import make_scorer

CONFIG = BSTConfig(num_items=30, dim=8, num_heads=2, num_blocks=1, ff_width=8, max_length=6, head_widths=(8,))


@pytest.mark.filterwarnings("ignore")  # of the older exporter, which is quicker
@pytest.mark.parametrize("excluding", [False, True])
def test_the_plain_top_k_leaves_out_what_the_bundle_leaves_out(excluding: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, top_k = BST(CONFIG).eval(), TopK(limit=5, exclude_history=excluding)
    module = plain(model, Signature(name="top_k", ids="index", inputs=(), outputs=()), top_k)
    items = torch.tensor([[0, 0, 7, 7, 3, 9], [1, 2, 3, 4, 5, 6]])
    context = torch.zeros(2, 0, dtype=torch.int64)
    scorer = make_scorer(model, CONFIG, top_k)
    with torch.inference_mode():
        indices, scores = scorer.top_k(scorer.encode({"items": items, "context": context}), items)
        found, found_scores = module(items, context)
    assert found.tolist() == indices.tolist()
    assert torch.allclose(found_scores, scores, atol=1e-6)
    assert not (excluding and set(found[1].tolist()) & set(range(1, 7)))
    path = str(tmp_path / "model.onnx")
    torch.onnx.export(module, (items, context), path, dynamo=False, input_names=["items", "context"])
    answer = onnxruntime.InferenceSession(path).run(None, {"items": items.numpy()})
    assert np.array_equal(answer[0], indices.numpy())
