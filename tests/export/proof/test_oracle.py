"""The float64 truth: nearer than float32, equal to a plain float64 copy, and without a second copy of large tables."""

import copy

import pytest
import torch

from bst import BST, BSTConfig
from bst.config import ContextFeature
from export.proof.oracle import in_float64


@pytest.mark.parametrize("tied", [True, False])
def test_the_oracle_equals_a_float64_copy_of_the_whole_model(tied: bool) -> None:
    feature = ContextFeature(name="gender", num_categories=2, dim=3)
    config = BSTConfig(num_items=30, dim=16, max_length=8, head_widths=(12,), context=(feature,), tied_output=tied)
    model = BST(config).eval()
    oracle, plain = in_float64(model), copy.deepcopy(model).double()
    items, context = torch.randint(0, 31, (5, 8)), torch.randint(0, 3, (5, 1))
    with torch.inference_mode():
        exact, expected = oracle(items, context), plain(items, context)
        assert exact.dtype == torch.float64
        assert torch.allclose(exact, expected, rtol=1e-13, atol=1e-13)
        assert 0 < (model(items, context).double() - expected)[:, 1:].abs().max() < 1e-5
        rows = oracle.output_rows(torch.tensor([[3, 4]]))
        assert all(part.dtype == torch.float64 for part in rows)


def test_large_tables_are_shared_and_the_model_is_left_as_it_was() -> None:
    model = BST(BSTConfig(num_items=30, dim=16, max_length=8)).eval()
    oracle = in_float64(model)
    assert oracle.item_embedding.weight.data_ptr() == model.item_embedding.weight.data_ptr()
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert type(model) is BST
