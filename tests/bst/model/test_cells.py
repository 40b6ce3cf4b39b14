"""Cells of the encoder, in each of their forms, beside torch's own layer and beside the formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bst import BSTConfig
from bst.model.cells import EncoderCell

LENGTH, DIM = 5, 8
SIZES: dict[str, Any] = {"num_items": 3, "dim": DIM, "num_heads": 2, "ff_width": 12, "max_length": LENGTH}


def random_cell(**form: Any) -> EncoderCell:
    torch.manual_seed(0)
    cell = EncoderCell(BSTConfig(**SIZES, **form)).eval()
    for parameter in cell.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    return cell


def inputs() -> tuple[Tensor, Tensor]:
    """Random states `[3, LENGTH, DIM]`, and what a causal mask adds to logits."""
    hidden = torch.full((LENGTH, LENGTH), -30_000.0).triu(1)
    return torch.randn(3, LENGTH, DIM, generator=torch.Generator().manual_seed(1)), hidden.expand(3, 1, LENGTH, LENGTH)


@pytest.mark.parametrize(("activation", "epsilon"), [("relu", 1e-5), ("gelu", 1e-3)])
def test_with_biases_a_cell_is_the_encoder_layer_of_torch(activation: str, epsilon: float) -> None:
    cell = random_cell(attention_biases=True, activation=activation, norm_epsilon=epsilon)
    layer = nn.TransformerEncoderLayer(
        DIM, 2, 12, activation=activation, layer_norm_eps=epsilon, batch_first=True, norm_first=False
    ).eval()
    attention = cell.attention
    layer.load_state_dict(
        {
            "self_attn.in_proj_weight": attention.query_key_value.weight,
            "self_attn.in_proj_bias": attention.query_key_value.bias,
            "self_attn.out_proj.weight": attention.dense.weight,
            "self_attn.out_proj.bias": attention.dense.bias,
            **{f"linear{number}.{name}": value for number, name, value in _parameters("ff", cell)},
            **{f"norm{number}.{name}": value for number, name, value in _parameters("norm", cell)},
        }
    )
    states, hidden = inputs()
    with torch.no_grad():
        theirs = layer(states, src_mask=hidden[0, 0])
        torch.testing.assert_close(cell(states, hidden), theirs, rtol=0, atol=1e-5)


def _parameters(part: str, cell: EncoderCell) -> list[tuple[int, str, Tensor]]:
    modules = [(number, cell.get_submodule(f"{part}_{number}")) for number in (1, 2)]
    return [(number, name, value) for number, module in modules for name, value in module.named_parameters()]


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("norm", ["post", "none"])
def test_norm_and_residual_can_be_left_out(norm: str, residual: bool) -> None:
    cell = random_cell(norm=norm, residual=residual, activation="leaky_relu")
    states, hidden = inputs()

    def normalised(x: Tensor) -> Tensor:
        if norm == "none":
            return x
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    if norm == "post":
        for module in (cell.norm_1, cell.norm_2):
            assert isinstance(module, nn.LayerNorm)
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    with torch.no_grad():
        attended = cell.attention(states, hidden)
        first = normalised(states * residual + attended)
        wide = cell.ff_1(first)
        change = cell.ff_2(torch.where(wide > 0, wide, 0.01 * wide))
        torch.testing.assert_close(cell(states, hidden), normalised(first * residual + change), rtol=0, atol=1e-5)


def test_the_default_cell_has_the_parameters_that_it_always_had() -> None:
    names = [name for name, _ in EncoderCell(BSTConfig(**SIZES)).named_parameters()]
    assert names == [
        *("attention.query_key_value.weight", "attention.dense.weight"),
        *("norm_1.weight", "norm_1.bias", "ff_1.weight", "ff_1.bias"),
        *("ff_2.weight", "ff_2.bias", "norm_2.weight", "norm_2.bias"),
    ]


def test_attention_without_biases_is_the_formula() -> None:
    cell = random_cell()
    states, hidden = inputs()
    query, key, value = F.linear(states, cell.attention.query_key_value.weight).chunk(3, dim=-1)
    heads = []
    for columns in (slice(0, 4), slice(4, 8)):
        logits = query[..., columns] @ key[..., columns].transpose(1, 2) / 2 + hidden[:, 0]
        heads.append(logits.softmax(-1) @ value[..., columns])
    expected = torch.cat(heads, dim=-1) @ cell.attention.dense.weight.T
    torch.testing.assert_close(cell.attention(states, hidden), expected, rtol=0, atol=1e-5)
