"""The promises of `BST`, on random weights."""

import math

import pytest
import torch
from torch import Tensor

from bst import BST, BSTConfig, ContextFeature
from bst.model.initialisation import sinusoidal_positions

NUM_ITEMS = 30
CONTEXT = (ContextFeature(name="a", num_categories=3, dim=4), ContextFeature(name="b", num_categories=2, dim=5))
VARIANTS = {
    "last": {},
    "mean": {"pooling": "mean"},
    "tied": {"tied_output": True, "head_widths": ()},
    "tied_with_hidden": {"tied_output": True, "head_widths": (20,)},
    "odd_dim": {"dim": 15, "num_heads": 3},
    "one_head_two_widths": {"num_heads": 1, "head_widths": (20, 12)},
    "no_context": {"context": ()},
    "length_one": {"max_length": 1},
    "oldest": {"places": "oldest", "place_vectors": "learned", "activation": "leaky_relu"},
    "no_places": {"places": "none", "attention_biases": True, "activation": "gelu", "norm_epsilon": 1e-3},
    "bare": {"norm": "none", "residual": False, "pooling": "sum", "places": "oldest"},
}


def build(name: str = "last") -> tuple[BST, BSTConfig]:
    torch.manual_seed(0)
    sizes = {"dim": 16, "num_heads": 4, "ff_width": 32, "max_length": 10, "head_widths": (24,), "context": CONTEXT}
    config = BSTConfig(num_items=NUM_ITEMS, **{**sizes, **VARIANTS[name]})
    return BST(config).eval(), config


def rows(config: BSTConfig, batch: int = 4, length: int | None = None) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    items = torch.randint(1, NUM_ITEMS + 1, (batch, length or config.max_length))
    return items, torch.randint(0, 3, (batch, len(config.context)))


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one[:, 1:], other[:, 1:], atol=2e-6, rtol=0)


def pad(items: Tensor, left: int = 0, right: int = 0) -> Tensor:
    return torch.nn.functional.pad(items, (left, right))


@pytest.mark.parametrize("name", VARIANTS)
def test_scores_have_a_column_an_item_and_padding_never_wins(name: str) -> None:
    model, config = build(name)
    scores = model(*rows(config))
    assert scores.shape == (4, NUM_ITEMS + 1)
    assert scores.dtype == torch.float32
    assert (scores[:, 0] == -math.inf).all()
    assert scores[:, 1:].isfinite().all()


@pytest.mark.parametrize("name", ["last", "mean", "tied", "odd_dim", "no_context", "oldest", "no_places", "bare"])
def test_padding_anywhere_changes_no_score(name: str) -> None:
    model, config = build(name)
    items, context = rows(config, length=4)
    plain = model(items, context)
    middle = torch.cat([items[:, :2], torch.zeros(4, 3, dtype=torch.int64), items[:, 2:]], dim=1)
    assert close(model(pad(items, left=6), context), plain)
    assert close(model(pad(items, right=6), context), plain)
    assert close(model(pad(middle, left=1, right=2), context), plain)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_row_scores_the_same_alone_and_in_a_batch(name: str) -> None:
    model, config = build(name)
    items, context = rows(config, batch=5)
    items[2, : config.max_length // 2] = 0
    together = model(items, context)
    alone = torch.cat([model(items[row : row + 1], context[row : row + 1]) for row in range(5)])
    assert close(together, alone)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_cold_start_row_is_scored_by_its_context_alone(name: str) -> None:
    model, config = build(name)
    empty = torch.zeros(2, config.max_length, dtype=torch.int64)
    one, other = torch.zeros(2, len(config.context), dtype=torch.int64), torch.ones(2, len(config.context)).long()
    scores = model(empty, one)
    assert scores[:, 1:].isfinite().all()
    assert close(scores, model(empty[:, :1], one))
    assert close(scores, model(empty, other)) == (not config.context)


def test_the_order_of_items_matters() -> None:
    model, config = build()
    items, context = rows(config)
    assert not close(model(items, context), model(items.flip(1), context))


@pytest.mark.parametrize("name", ["last", "mean", "tied", "oldest", "no_places", "bare"])
def test_a_prefix_never_sees_what_follows_it(name: str) -> None:
    model, config = build(name)
    items, context = rows(config)
    everywhere = context.unsqueeze(1).expand(-1, config.max_length, -1)
    before = model.prefix_vectors({"items": items, "context": everywhere})
    changed = items.clone()
    changed[:, -1] = changed[:, -1] % NUM_ITEMS + 1
    after = model.prefix_vectors({"items": changed, "context": everywhere})
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert not torch.allclose(before[:, -1], after[:, -1])


@pytest.mark.parametrize("name", VARIANTS)
def test_the_longest_prefix_is_the_row_itself(name: str) -> None:
    model, config = build(name)
    items, context = rows(config)
    items[1, : config.max_length // 2] = 0
    everywhere = context.unsqueeze(1).expand(-1, config.max_length, -1)
    newest = model.prefix_vectors({"items": items, "context": everywhere})[:, -1]
    assert torch.allclose(newest, model.user_vectors({"items": items, "context": context}), atol=2e-6)


@pytest.mark.parametrize("name", ["last", "tied", "mean"])
def test_training_moves_every_item_and_never_the_padding_row(name: str) -> None:
    model, _ = build(name)
    items = torch.arange(1, NUM_ITEMS + 1).reshape(3, 10)
    model.train()
    model(items, torch.ones(3, 2, dtype=torch.int64))[:, 1:].square().sum().backward()
    gradient = model.item_embedding.weight.grad
    assert gradient is not None
    assert (gradient[0] == 0).all()
    assert (model.item_embedding.weight[0] == 0).all()
    assert (gradient[1:].abs().sum(dim=1) > 0).all()


def test_attention_is_scaled_by_the_square_root_of_the_head_width() -> None:
    model, config = build("last")
    attention = model.cells[0].attention
    x = torch.randn(2, 5, config.dim)
    query, key, value = (attention._heads(part) for part in attention.query_key_value(x).chunk(3, dim=-1))
    expected = torch.nn.functional.scaled_dot_product_attention(query, key, value)
    found = attention(x, torch.zeros(2, 1, 5, 5))
    assert torch.allclose(found, attention.dense(expected.transpose(1, 2).flatten(2)), atol=1e-6)


def test_positions_follow_the_formula_and_do_not_depend_on_the_length_of_the_table() -> None:
    table = sinusoidal_positions(20, 6)
    for position in (0, 3, 19):
        for pair in range(3):
            angle = position / 10000 ** (2 * pair / 6)
            assert table[position, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-7)
            assert table[position, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-7)
    assert torch.equal(table[:7], sinusoidal_positions(7, 6))
    assert sinusoidal_positions(4, 1).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_model_runs_in_other_float_types_without_nan(dtype: torch.dtype) -> None:
    model, config = build()
    items, context = rows(config)
    items[0] = 0
    scores = model.to(dtype)(items, context)
    assert scores.dtype == dtype
    assert scores[:, 1:].isfinite().all()


def test_the_model_moves_between_devices_as_a_whole() -> None:
    model, config = build()
    items, context = rows(config)
    assert model.to("meta")(items.to("meta"), context.to("meta")).device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_agrees_with_the_cpu() -> None:
    model, config = build()
    items, context = rows(config)
    expected = model(items, context)
    assert torch.allclose(model.cuda()(items.cuda(), context.cuda()).cpu()[:, 1:], expected[:, 1:], atol=1e-4)


@pytest.mark.parametrize("method", ["xavier", "kaiming"])
def test_embeddings_start_at_unit_scale_whatever_the_size_of_the_catalogue(method: str) -> None:
    model = BST(BSTConfig(num_items=5000, init_method=method))
    scaled = model.item_embedding.weight[1:] * model.embedding_scale
    assert scaled.std().item() == pytest.approx(1.0, abs=0.01)


def test_a_tied_output_without_hidden_layers_starts_by_reading_the_state_itself() -> None:
    context = (ContextFeature(name="gender", num_categories=2, dim=3),)
    model = BST(BSTConfig(num_items=50, dim=16, head_widths=(), context=context)).eval()
    states = torch.randn(4, 16)
    head = model.head(torch.cat((states, torch.zeros(4, 3)), dim=-1))
    assert torch.equal(head, states)


def test_learned_places_start_smaller_than_items() -> None:
    model = BST(BSTConfig(num_items=50, place_vectors="learned"))
    assert model.positions.std().item() == pytest.approx(0.02, rel=0.1)
    assert not isinstance(BST(BSTConfig(num_items=50, places="none")).positions, torch.nn.Parameter)
