"""Inputs beside the history in the model: event features, event times and numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bst import BSTConfig
from bst.config import ContextFeature, EventFeature, ItemFeature, ItemNumber, Number
from bst.model import BST, fold_fields
from export.serving.encoder import PackedEncoder

FORMS = pytest.mark.parametrize(
    "form",
    [
        {},
        {"event_times": "to_request", "pooling": "sum", "num_blocks": 1},
        {"pooling": "mean", "places": "oldest", "tied_output": False},
        {"event_times": "none", "places": "none"},
        {"feature_dim": 1, "place_dim": 2},
        {"mask": "full", "place_dim": 3, "place_vectors": "learned", "tied_output": False},
        {"mask": "full", "pooling": "mean", "feature_dim": 1, "places": "oldest"},
    ],
    ids=str,
)
START = 1_600_000_000
Inputs = dict[str, Tensor]


CONFIG = {
    **{"num_items": 30, "dim": 8, "num_heads": 2, "ff_width": 8, "max_length": 9, "head_widths": (12,)},
    "event_times": "to_next",
    "event_features": (EventFeature(name="kind", num_categories=3), EventFeature(name="device", num_categories=2)),
    "numbers": (Number(name="age", mean=40.0, deviation=15.0), Number(name="spent", mean=5.0, deviation=100.0)),
    "context": (ContextFeature(name="region", num_categories=3, dim=2),),
}


def model_of(**form: object) -> BST:
    torch.manual_seed(1)
    model = BST(BSTConfig.model_validate({**CONFIG, **form})).eval()
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    model.item_embedding.weight.data[0] = 0
    return model


def inputs_of(batch: int = 3, length: int = 6) -> Inputs:
    source = torch.Generator().manual_seed(2)

    def integers(most: int, *shape: int) -> Tensor:
        return torch.randint(0, most, shape, generator=source)

    return {
        "items": integers(30, batch, length) + 1,
        "context": integers(4, batch, 1),
        "events": torch.stack((integers(4, batch, length), integers(3, batch, length)), dim=-1),
        "event_time": START + integers(10**6, batch, length).sort(dim=1).values,
        "request_time": START + 10**6 + integers(10**4, batch),
        "numbers": torch.randn(batch, 2, generator=source) * 20,
    }


def close(here: Tensor, there: Tensor) -> bool:
    return torch.allclose(here, there, atol=1e-5 * float(there.detach().abs().max()), rtol=0)


PER_EVENT = ("items", "events", "event_time")


@FORMS
def test_padding_anywhere_changes_no_score_whatever_stands_beside_it(form: dict[str, object]) -> None:
    model, inputs = model_of(**form), inputs_of()
    places = torch.tensor([1, 2, 4, 5, 6, 8])
    padded = dict(inputs)
    for name in PER_EVENT:
        wide = torch.full((3, 9, *inputs[name].shape[2:]), 0 if name == "items" else 2)
        wide[:, places] = inputs[name]
        padded[name] = wide
    assert close(model.user_vectors(padded), model.user_vectors(inputs))


@FORMS
def test_a_row_does_not_depend_on_its_batch(form: dict[str, object]) -> None:
    model, inputs = model_of(**form), inputs_of()
    alone = model.user_vectors({name: tensor[1:2] for name, tensor in inputs.items()})
    assert close(alone, model.user_vectors(inputs)[1:2])


@FORMS
def test_the_packed_encoder_gives_the_same_vectors(form: dict[str, object]) -> None:
    model, inputs = model_of(**form), inputs_of()
    inputs["items"][0, :4] = 0
    inputs["items"][1, 2] = 0
    inputs["items"][2] = 0
    assert close(PackedEncoder(model)(inputs), model.user_vectors(inputs))


def test_every_prefix_is_trained_as_it_is_served() -> None:
    """The time of an event to the next one is that to the request, where the prefix ends with the event."""
    model, inputs = model_of(places="none"), inputs_of()
    numbers, context = (inputs[name].unsqueeze(1).expand(-1, 6, -1) for name in ("numbers", "context"))
    prefixes = model.prefix_vectors({**inputs, "numbers": numbers, "context": context})
    for length in range(1, 7):
        prefix = {name: inputs[name][:, :length] if name in PER_EVENT else inputs[name] for name in inputs}
        if length < 6:
            prefix["request_time"] = inputs["event_time"][:, length]
        assert close(prefixes[:, length - 1], model.user_vectors(prefix))


@pytest.mark.parametrize(("name", "value"), [("events", 1), ("event_time", START - 9), ("request_time", START)])
def test_each_input_changes_the_vector(name: str, value: int) -> None:
    model, inputs = model_of(), inputs_of()
    changed = {**inputs, name: torch.full_like(inputs[name], value)}
    assert not close(model.user_vectors(changed), model.user_vectors(inputs))


@pytest.mark.parametrize("unknown", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_unknown_and_not_the_mean(unknown: float) -> None:
    model = model_of()
    scaled = model.scaled(torch.tensor([[unknown, 5.0]]))
    assert scaled.tolist() == [[0.0, 0.0, 1.0, 0.0]]
    inputs = inputs_of(1)
    vectors = [
        model.user_vectors({**inputs, "numbers": torch.tensor([[number, 5.0]])})
        for number in (unknown, float("nan"), 40.0)
    ]
    assert torch.equal(vectors[0], vectors[1])
    assert not close(vectors[0], vectors[2])


def test_a_number_far_from_its_mean_counts_as_ten_deviations() -> None:
    scaled = model_of().scaled(torch.tensor([[3.4e38, -3.4e38], [55.0, 105.0]]))
    assert scaled.tolist() == [[10.0, -10.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]


@pytest.mark.parametrize("name", ["events", "event_time", "request_time", "numbers"])
def test_an_input_that_is_left_out_is_named(name: str) -> None:
    inputs = inputs_of()
    del inputs[name]
    form = {"event_times": "none"} if name == "events" else {}
    with pytest.raises(ValueError, match=f"this model reads {name}: give it"):
        model_of(**form).user_vectors(inputs)


def test_a_model_begins_as_one_without_event_features() -> None:
    model, inputs = BST(BSTConfig.model_validate(CONFIG)).eval(), inputs_of()
    others = {**inputs, "events": inputs["events"] * 0, "event_time": inputs["event_time"] * 0}
    assert torch.equal(model.user_vectors(inputs), model.user_vectors(others))


@FORMS
def test_what_is_stored_is_what_the_config_says(form: dict[str, object]) -> None:
    stored = BSTConfig.model_validate({**CONFIG, **form}).stored_bytes
    assert stored == sum(tensor.nbytes for tensor in model_of(**form).state_dict().values())


OF_ITEMS: dict[str, object] = {
    "item_features": (ItemFeature(name="brand", num_categories=4, num_values=2),),
    "item_numbers": (ItemNumber(name="price", mean=0.0, deviation=1.0),),
    "dim": 12,
}


@FORMS
def test_own_columns_and_features_of_items_fold_into_tables_to_the_bit(form: dict[str, object]) -> None:
    form = {**form, **OF_ITEMS}
    model, config, inputs = model_of(**form), BSTConfig.model_validate({**CONFIG, **form}), inputs_of()
    assert model.item_features is not None
    source = torch.Generator().manual_seed(4)
    brands, prices = torch.randint(0, 5, (31, 2), generator=source), torch.randn(31, 1, generator=source)
    model.item_features.set_values([brands], torch.where(prices > 1, torch.nan, prices))
    plain, plain_config = fold_fields(model, config)
    assert not plain_config.has_own_columns
    assert plain.item_features is None
    vectors = model.user_vectors(inputs)
    assert torch.equal(plain.user_vectors(inputs), vectors)
    assert torch.equal(plain.item_scores(vectors), model.item_scores(vectors))


def test_fields_side_by_side_touch_no_column_of_another() -> None:
    model, inputs = model_of(feature_dim=1, place_dim=2), inputs_of()
    columns = model.event_columns(inputs["items"] > 0, inputs)
    zeros = torch.zeros_like(inputs["items"])
    states = model.embed(zeros, zeros + 1, columns)
    assert not states[..., :3].any()  # 8, less two kinds, the time and two of the place
    assert states[..., 3:].any(dim=0).any(dim=0).all()
    kinds, devices = inputs["events"].unbind(dim=-1)
    events = torch.stack((kinds, (devices + 1) % 3), dim=-1)
    changed = model.event_columns(inputs["items"] > 0, {**inputs, "events": events})
    differs = (model.embed(zeros, zeros + 1, changed) != states).any(dim=0).any(dim=0)
    assert differs.nonzero().flatten().tolist() == [4]


def test_a_model_without_room_for_its_items_is_refused() -> None:
    with pytest.raises(ValueError, match="dim=8 has no room for the vector of an item beside 3 fields"):
        model_of(feature_dim=2, place_dim=2)


def test_with_a_full_mask_an_event_sees_what_comes_after_it() -> None:
    inputs = inputs_of()
    for mask, sees in (("full", True), ("causal", False)):
        model = model_of(mask=mask, event_times="none", places="none", pooling="mean")
        places, real = torch.zeros_like(inputs["items"]), inputs["items"] > 0
        columns = model.event_columns(real, inputs)
        before = model.embed(inputs["items"], places, columns)
        after = before.clone()
        after[:, -1] += 1
        cell, hidden = model.cells[0], model.hidden(real, before)
        assert bool((cell(before, hidden)[:, 0] != cell(after, hidden)[:, 0]).any()) == sees
