"""Claims about click models of several sequences: each is read by itself, and the head joins them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from bst import BSTConfig
from bst.model import ClickBST, make_model
from tests.bst.model.test_click import FORMS, NUMBER, ROWS, SIZES, candidates_of, close, inputs_of

OTHERS = (
    {
        **{"name": "skipped", "dim": 8, "ff_width": 12, "max_length": 8, "places": "newest"},
        **{"longer_histories": "newest", "candidate_vectors": "shared"},
    },
    {
        **{"name": "bought", "dim": 6, "ff_width": 6, "max_length": 5, "places": "oldest"},
        **{"longer_histories": "oldest", "candidate_vectors": "own"},
    },
)
READ = ["paper", "causal", "causal_mean", "causal_sum", "full_blocks", "full_mean", "no_head"]


def model_of(form: str, **changes: Any) -> tuple[ClickBST, BSTConfig]:
    """Make a model whose every part moves the answer; the history of the same `form` always has the same weights."""
    config = BSTConfig.model_validate({**SIZES, **FORMS[form], "sequences": OTHERS, **changes})
    model = make_model(config).eval()
    assert isinstance(model, ClickBST)
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights.copy_(0.3 * torch.randn_like(weights))
    return model, config


def sequences_of() -> dict[str, Tensor]:
    """Make rows of each sequence: one of them empty, one with padding between its events."""
    skipped = torch.tensor([[0, 0, 0, 0, 0], [3, 0, 7, 7, 1], [1, 2, 3, 4, 5]])
    return {"skipped": skipped, "bought": torch.tensor([[9, 0], [0, 0], [4, 9]])}


@torch.no_grad()
@pytest.mark.parametrize("form", READ)
def test_every_sequence_computed_once_gives_the_logits_of_a_sequence_for_each_candidate(form: str) -> None:
    model, config = model_of(form)
    calls = {**inputs_of(config), "candidates": candidates_of(ROWS, NUMBER), "sequences": sequences_of()}
    definition = model.tiled()
    assert all(not reader.history_once for reader in definition.sequences)
    assert close(model(**calls), definition(**calls))
    assert model.history_once == config.history_once  # a copy changes nothing of the model
    assert all(reader.history_once == config.history_once for reader in model.sequences)


@torch.no_grad()
@pytest.mark.parametrize("form", READ)
def test_a_sequence_that_the_head_does_not_read_changes_no_bit(form: str) -> None:
    model, config = model_of(form)
    alone, _ = model_of(form, sequences=())
    for reader in model.sequences:
        for weights in reader.head.parameters():  # type: ignore[union-attr]
            weights.zero_()
    calls = {**inputs_of(config), "candidates": candidates_of(ROWS, NUMBER)}
    assert torch.equal(model(**calls, sequences=sequences_of()), alone(**calls))


@torch.no_grad()
@pytest.mark.parametrize("name", ["skipped", "bought"])
def test_padding_of_a_sequence_changes_nothing_and_its_events_change_its_row_alone(name: str) -> None:
    model, config = model_of("causal_mean")
    calls, sequences = {**inputs_of(config), "candidates": candidates_of(ROWS, NUMBER)}, sequences_of()
    whole = model(**calls, sequences=sequences)
    assert torch.isfinite(whole).all()
    padded = torch.nn.functional.pad(sequences[name], (3, 0))
    assert close(model(**calls, sequences={**sequences, name: padded}), whole)
    changed = sequences[name].clone()
    changed[2, -1] = 8
    moved = (model(**calls, sequences={**sequences, name: changed}) - whole).abs().amax(dim=1)
    assert moved[2] > 1e-4
    assert moved[:2].max() == 0


def test_the_bytes_that_a_config_states_are_those_of_its_model() -> None:
    for form in READ:
        model, config = model_of(form)
        assert config.stored_bytes == sum(tensor.nbytes for tensor in model.state_dict().values())


def test_a_model_of_several_sequences_asks_for_each_and_is_not_trained_on_prefixes() -> None:
    model, config = model_of("causal")
    calls = inputs_of(config)
    with pytest.raises(ValueError, match="this model reads skipped: give it"):
        model(**calls, candidates=candidates_of(ROWS, NUMBER))
    with pytest.raises(ValueError, match="a model of several sequences is not trained here"):
        model.prefix_logits(calls, candidates_of(ROWS, 6, NUMBER), calls["items"] > 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "next_item", "head_widths": (), "places": "newest"}, "sequences=.* with task='next_item'"),
        ({"sequences": (OTHERS[0], OTHERS[0])}, "input 'skipped' is named twice"),
        ({"sequences": ({**OTHERS[0], "name": "history"},)}, "sequence 'history' cannot be the name of a model input"),
        ({"sequences": ({**OTHERS[0], "name": "device"},)}, "input 'device' is named twice"),
        ({"sequences": ({**OTHERS[0], "dim": 7},)}, "dim=7 of sequence 'skipped' does not divide into num_heads=2"),
        ({"item_features": ({"name": "brand", "num_categories": 3},)}, "sequences with item features or columns"),
    ],
)
def test_sequences_that_fit_no_model_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BSTConfig.model_validate({**SIZES, **FORMS["causal"], "sequences": OTHERS, **changes})
