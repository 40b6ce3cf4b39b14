"""Candidates of a click model go through a program in blocks: none is large, and the answers are those of one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from export import Signature, compare, open_bundle
from export.contract.signatures import TensorSpec
from export.sessions.blocks import ROWS, BlockSession
from export.sessions.session import TorchSession
from tests.conftest import OnDemand, random_inputs

SCORES = tuple(TensorSpec(name=name, dtype="float32", shape=("batch", "n")) for name in ("probabilities", "scores"))
SIGNATURE = Signature(
    name="score_candidates",
    ids="index",
    inputs=(
        TensorSpec(name="items", dtype="int64", shape=("batch", "length")),
        TensorSpec(name="candidates", dtype="int64", shape=("batch", "n")),
        TensorSpec(name="candidate_features", dtype="int64", shape=("batch", "n", 2)),
    ),
    outputs=SCORES,
)


@pytest.mark.parametrize(("batch", "number"), [(1, 1), (1, 10), (1, 11), (1, 95), (3, 7), (30, 2), (4, 1)])
def test_no_call_has_more_rows_than_a_block_and_all_candidates_are_answered_in_their_order(
    batch: int, number: int
) -> None:
    rows = []

    def method(items: Tensor, candidates: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        assert all(tensor.is_contiguous() for tensor in (candidates, features))  # machine code looks at no strides
        rows.append(candidates.numel())
        return candidates.float(), candidates.float() + features.sum(dim=-1) + items.sum(dim=1, keepdim=True)

    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"items": (batch, 3), "candidates": (batch, number)}
    shapes["candidate_features"] = (batch, number, 2)
    inputs = {name: rng.integers(0, 1000, shape) for name, shape in shapes.items()}
    answer = BlockSession(SIGNATURE, method, rows=10)(inputs)
    assert max(rows) <= max(10, batch)
    assert len(rows) == min(number, -(-number * batch // 10))
    expected = TorchSession(SIGNATURE, method)(inputs)
    for name, values in answer.items():
        assert np.array_equal(values, expected[name])


@pytest.mark.parametrize("name", ["score_candidates", "score_candidates_from_user"])
def test_a_program_answers_more_candidates_than_a_block_as_the_model_does(variants: OnDemand, name: str) -> None:
    bundle = open_bundle(variants["clicks_program"])
    inputs: Any = random_inputs(bundle.path, 2, 5, n=ROWS + 1, signature="score_candidates")
    if name != "score_candidates":
        encoding = bundle.session("eager", "encode_user")
        users = encoding({spec.name: inputs[spec.name] for spec in encoding.signature.inputs})
        inputs = {"candidates": inputs["candidates"], **users}
    program, eager = bundle.session("pt2", name), bundle.session("eager", name)
    comparison = compare(eager.signature, eager(inputs), program(inputs))
    assert comparison.failure is None
    assert comparison.error <= 1e-5


def test_a_program_of_one_block_is_called_once(variants: OnDemand) -> None:
    session = open_bundle(variants["clicks_program"]).session("pt2", "score_candidates")
    inner: Any = getattr(session, "inner", session)
    assert isinstance(inner, BlockSession)
    method, calls = inner.method, []
    inner.method = lambda *tensors: calls.append(len(tensors)) or method(*tensors)
    session(random_inputs(variants["clicks_program"], 1, 5, n=ROWS, signature="score_candidates"))
    assert len(calls) == 1
    with torch.inference_mode():
        session(random_inputs(variants["clicks_program"], 1, 5, n=ROWS + 1, signature="score_candidates"))
    assert len(calls) == 3
