"""Item features folded into the tables of the items: a model without them that scores alike."""

import torch

from bst.config import BSTConfig
from bst.model.network import BST


def fold_item_features(model: BST, config: BSTConfig) -> tuple[BST, BSTConfig]:
    """Give a model without item features that scores as `model` does, to the bit: they are added to its tables.

    Both share all other weights. A model without item features is given back as it is.
    """
    if model.item_features is None:
        return model, config
    plain_config = config.model_copy(update={"item_features": (), "item_numbers": ()})
    with torch.device("meta"):
        plain = BST(plain_config)
    with torch.no_grad():
        items = torch.arange(config.num_items + 1)
        state = {name: tensor for name, tensor in model.state_dict().items() if name in plain.state_dict()}
        state["item_embedding.weight"] = model.item_vectors(items)
        if not config.tied_output:
            state["output.weight"] = model.output_layer()[0]
    plain.load_state_dict(state, assign=True)
    return plain.eval(), plain_config
