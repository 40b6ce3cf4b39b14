"""Claims about the click model: the history once, prefixes, padding, candidates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bst import BST, BSTConfig
from bst.model import ClickBST, fold_fields, make_model

ROWS, LENGTH, NUMBER, NUM_ITEMS = 3, 6, 4, 30
SIZES = {
    **{"task": "click", "num_items": NUM_ITEMS, "dim": 24, "num_heads": 2, "ff_width": 16, "max_length": LENGTH},
    **{"head_widths": (12,), "dropout": 0.0},
}
BESIDE = {
    "context": ({"name": "device", "num_categories": 4, "dim": 3},),
    "event_features": ({"name": "kind", "num_categories": 3},),
    "numbers": ({"name": "age", "mean": 0.0, "deviation": 1.0},),
}
FORMS: dict[str, dict[str, Any]] = {
    "paper": {"num_blocks": 1, "places": "none", "event_times": "to_request", "mask": "full", **BESIDE},
    "causal": {"num_blocks": 2, "places": "oldest", "event_times": "to_next", **BESIDE},
    "causal_mean": {"num_blocks": 2, "pooling": "mean", "places": "none"},
    "causal_sum": {"num_blocks": 1, "pooling": "sum", "norm": "none", "attention_biases": True, **BESIDE},
    "from_newest": {"num_blocks": 2, "places": "newest", "place_vectors": "learned"},
    "own_columns": {
        "num_blocks": 1,
        "places": "oldest",
        "feature_dim": 4,
        "place_dim": 4,
        "event_times": "to_next",
        **BESIDE,
    },
    "full_blocks": {"num_blocks": 2, "mask": "full", **BESIDE},
    "full_mean": {"num_blocks": 1, "mask": "full", "pooling": "mean", "residual": False},
    "no_head": {"num_blocks": 1, "head_widths": ()},
}
SEES_CANDIDATES = {"full_blocks", "full_mean"}  # forms whose history is no longer the same for every candidate


@pytest.fixture(params=list(FORMS))
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def model_of(form: str) -> tuple[ClickBST, BSTConfig]:
    """Make a model whose every part moves the answer."""
    torch.manual_seed(0)
    config = BSTConfig.model_validate({**SIZES, **FORMS[form]})
    model = make_model(config).eval()
    assert isinstance(model, ClickBST)
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(0.3 * torch.randn_like(weights))
        model.item_embedding.weight[0] = 0
    return model, config


def inputs_of(config: BSTConfig) -> dict[str, Tensor]:
    items = torch.randint(1, NUM_ITEMS + 1, (ROWS, LENGTH))
    items[0, :3] = 0
    inputs = {"items": items, "context": torch.randint(0, 5, (ROWS, len(config.context)))}
    if config.event_features:
        inputs["events"] = torch.randint(0, 4, (ROWS, LENGTH, 1))
    if config.reads_times:
        inputs["event_time"] = 10**9 + torch.randint(0, 10**6, (ROWS, LENGTH)).cumsum(dim=1)
        inputs["request_time"] = inputs["event_time"][:, -1] + torch.tensor([0, 50, 10**7])
    if config.numbers:
        inputs["numbers"] = torch.randn(ROWS, 1)
    return inputs


def candidates_of(*shape: int) -> Tensor:
    return torch.randint(1, NUM_ITEMS + 1, shape)


def close(actual: Tensor, expected: Tensor) -> bool:
    return torch.allclose(actual, expected, rtol=0, atol=1e-5 * max(1.0, float(expected.abs().max())))


@torch.no_grad()
def test_a_history_computed_once_gives_the_logits_of_a_sequence_for_each_candidate(form: str) -> None:
    model, config = model_of(form)
    inputs, candidates = inputs_of(config), candidates_of(ROWS, NUMBER)
    assert close(model(candidates=candidates, **inputs), model.tiled()(candidates=candidates, **inputs))


@torch.no_grad()
def test_the_history_is_computed_once_where_it_never_sees_a_candidate(form: str) -> None:
    model, _ = model_of(form)
    assert model.history_once == (form not in SEES_CANDIDATES)


@torch.no_grad()
def test_every_prefix_is_trained_as_it_is_served(form: str) -> None:
    model, config = model_of(form)
    inputs, candidates = inputs_of(config), candidates_of(ROWS, LENGTH, NUMBER)
    each = {**inputs, "context": inputs["context"].unsqueeze(1).expand(-1, LENGTH, -1)}
    if config.numbers:
        each["numbers"] = inputs["numbers"].unsqueeze(1).expand(-1, LENGTH, -1)
    predicts = (inputs["items"] > 0) & (torch.arange(LENGTH) != 1)
    trained = model.prefix_logits(each, candidates, predicts)
    assert len(trained) == predicts.sum()
    for line, (row, slot) in enumerate(predicts.nonzero().tolist()):
        alone = {name: values[row : row + 1] for name, values in inputs.items()}
        for name in {"items", "events", "event_time"} & set(alone):
            alone[name] = alone[name][:, : slot + 1]
        if config.reads_times and slot + 1 < LENGTH:
            alone["request_time"] = inputs["event_time"][row : row + 1, slot + 1]
        served = model(candidates=candidates[row : row + 1, slot], **alone)
        assert close(trained[line], served[0])


@torch.no_grad()
def test_padding_anywhere_changes_no_logit(form: str) -> None:
    model, config = model_of(form)
    inputs, candidates = inputs_of(config), candidates_of(ROWS, NUMBER)
    short = {
        name: values[:, 3:] if name in ("items", "events", "event_time") else values for name, values in inputs.items()
    }
    short["items"] = short["items"].clone()
    short["items"][1, 1] = 0
    padded = dict(short)
    for name in {"items", "events", "event_time"} & set(short):
        filler = torch.zeros_like(short[name][:, :1])
        padded[name] = torch.cat((filler, short[name][:, :1], filler, short[name][:, 1:], filler), dim=1)
    assert close(model(candidates=candidates, **padded), model(candidates=candidates, **short))


@torch.no_grad()
def test_a_candidate_is_scored_alike_alone_and_beside_others(form: str) -> None:
    model, config = model_of(form)
    inputs, candidates = inputs_of(config), candidates_of(ROWS, NUMBER)
    together = model(candidates=candidates, **inputs)
    alone = [model(candidates=candidates[:, place : place + 1], **inputs) for place in range(NUMBER)]
    assert close(torch.cat(alone, dim=1), together)


@torch.no_grad()
def test_a_row_without_events_gets_finite_logits(form: str) -> None:
    model, config = model_of(form)
    inputs = inputs_of(config)
    inputs["items"] = torch.zeros_like(inputs["items"])
    assert torch.isfinite(model(candidates=candidates_of(ROWS, NUMBER), **inputs)).all()


@torch.no_grad()
def test_folded_fields_score_alike() -> None:
    model, config = model_of("own_columns")
    folded, plain = fold_fields(model, config)
    inputs, candidates = inputs_of(config), candidates_of(ROWS, NUMBER)
    assert not plain.has_own_columns
    assert torch.equal(folded(candidates=candidates, **inputs), model(candidates=candidates, **inputs))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "last"}, "pooling='last' with task='click'"),
        ({"tied_output": True}, "has no output layer"),
        ({"task": "next_item", "pooling": "target"}, "only a model of task='click' has a target inside"),
        ({"padding": "counted"}, "the notebook's models are of next items"),
    ],
)
def test_settings_that_contradict_the_task_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BSTConfig.model_validate({**SIZES, "num_blocks": 1, **settings})


def test_a_next_item_model_is_not_made_of_click_settings() -> None:
    with pytest.raises(ValueError, match="use make_model"):
        BST(BSTConfig.model_validate({**SIZES, **FORMS["causal"]}))
