"""Features of items in the model: what they add to it, and that they can be folded into its tables."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bst import BSTConfig
from bst.config import ItemFeature
from bst.model import BST
from bst.model.folding import fold_fields

FEATURES = (ItemFeature(name="brand", num_categories=4), ItemFeature(name="tags", num_categories=5, num_values=3))
BRANDS = torch.tensor([[0], [1], [1], [0], [4], [2], [3]], dtype=torch.int32)
TAGS = torch.tensor([[0, 0, 0], [1, 2, 3], [5, 0, 0], [0, 0, 0], [2, 4, 0], [1, 0, 0], [3, 5, 0]], dtype=torch.int32)


def made(*, tied: bool, **changes: object) -> tuple[BST, BSTConfig]:
    torch.manual_seed(3)
    sizes = {"num_items": 6, "dim": 8, "num_heads": 2, "ff_width": 8, "max_length": 4, "head_widths": (12,)}
    config = BSTConfig.model_validate({**sizes, "item_features": FEATURES, "tied_output": tied, **changes})
    model = BST(config).eval()
    assert model.item_features is not None
    model.item_features.set_values([BRANDS, TAGS])
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    model.item_embedding.weight.data[0] = 0
    return model, config


both = pytest.mark.parametrize("tied", [True, False])


def embedding(model: BST, number: int) -> Tensor:
    assert model.item_features is not None
    return model.item_features.get_submodule(f"embeddings.{number}").get_parameter("weight")


def test_an_item_is_the_sum_of_its_id_and_of_the_mean_of_each_feature() -> None:
    model, _ = made(tied=True)
    ids, brands, tags = model.item_embedding.weight, embedding(model, 0), embedding(model, 1)
    vectors = model.item_vectors(torch.arange(7))
    assert torch.allclose(vectors[1], ids[1] + brands[1] + (tags[1] + tags[2] + tags[3]) / 3, atol=1e-6)
    assert torch.allclose(vectors[2], ids[2] + brands[1] + tags[5], atol=1e-6)
    assert torch.allclose(vectors[3], ids[3] + brands[0] + tags[0], atol=1e-6)  # nothing is known of it
    assert torch.equal(vectors[0], torch.zeros(8))


@both
def test_folded_into_the_tables_the_scores_are_the_same_to_the_bit(tied: bool) -> None:
    model, config = made(tied=tied)
    plain, plain_config = fold_fields(model, config)
    assert plain.item_features is None
    assert plain_config.item_features == ()
    items, context = torch.randint(0, 7, (9, 4)), torch.zeros(9, 0, dtype=torch.int64)
    assert torch.equal(model(items, context), plain(items, context))
    some = torch.tensor([[5, 1], [2, 2]])
    for here, there in zip(model.output_rows(some), plain.output_rows(some), strict=True):
        assert torch.equal(here, there)


def test_a_model_without_item_features_is_given_back_as_it_is() -> None:
    model, config = made(tied=True)
    plain, plain_config = fold_fields(model, config)
    assert fold_fields(plain, plain_config) == (plain, plain_config)


@both
def test_what_is_stored_is_what_the_config_says(tied: bool) -> None:
    model, config = made(tied=tied)
    assert config.stored_bytes == sum(tensor.nbytes for tensor in model.state_dict().values())


def test_training_leaves_out_ids_and_never_features() -> None:
    model, _ = made(tied=True, id_dropout=0.5)
    model.train()
    items = torch.full((400,), 2)
    features = embedding(model, 0)[1] + embedding(model, 1)[5]
    alone = (model.item_vectors(items) - features).abs().amax(dim=1) < 1e-6
    assert 0.4 < alone.float().mean() < 0.6
    model.eval()
    assert not torch.allclose(model.item_vectors(items), features, atol=1e-3)


@both
def test_every_table_learns(tied: bool) -> None:
    model, _ = made(tied=tied)
    model.train()
    items, context = torch.tensor([[1, 2, 3, 4]]), torch.zeros(1, 0, dtype=torch.int64)
    model(items, context)[:, 1:].logsumexp(1).sum().backward()
    assert all(bool(parameter.grad.abs().sum() > 0) for parameter in model.parameters() if parameter.grad is not None)
    assert all(parameter.grad is not None for parameter in model.parameters())
