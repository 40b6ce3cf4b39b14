"""Fields folded into tables of the whole width: a model without item features and own columns that scores alike."""

from itertools import pairwise

import torch
from torch import Tensor

from bst.config import BSTConfig
from bst.model.item_features import placed
from bst.model.making import make_model
from bst.model.network import BST
from bst.system.unfilled import unfilled

PLAIN = {"item_features": (), "item_numbers": (), "feature_dim": None, "place_dim": None}


def fold_fields(model: BST, config: BSTConfig) -> tuple[BST, BSTConfig]:
    """Give a model that scores as `model` does, to the bit, and reads one table a field, which are all added.

    Item features become part of the table of items. A table with columns of its own becomes one of the whole width,
    with 0 elsewhere. Both models share all other weights. A model that has nothing to fold is given back as it is.
    """
    if model.item_features is None and not config.has_own_columns:
        return model, config
    plain_config = config.model_copy(update=PLAIN)
    with unfilled():
        plain = make_model(plain_config)
    with torch.no_grad():
        items = torch.arange(config.num_items + 1)
        state = {name: tensor for name, tensor in model.state_dict().items() if name in plain.state_dict()}
        state["item_embedding.weight"] = model.item_vectors(items)
        if config.has_output_rows:
            state["output.weight"] = model.output_layer()[0]
        if config.feature_dim is not None and model.event_embedding is not None:
            state["event_embedding.weight"] = _placed_rows(model, config)
        if config.place_dim is not None:
            state["positions"] = placed(state["positions"], model.places_at, config.dim)
    plain.load_state_dict(state, assign=True)
    return plain.eval(), plain_config


def _placed_rows(model: BST, config: BSTConfig) -> Tensor:
    """Return the table of what is known of events, each field's rows at its own columns: `[rows, dim]`."""
    table = model.get_parameter("event_embedding.weight")
    bounds = [*model.event_rows.tolist(), len(table)]
    parts = [
        placed(table[start:stop], model.events_at + field * table.size(1), config.dim)
        for field, (start, stop) in enumerate(pairwise(bounds))
    ]
    return torch.cat(parts)
