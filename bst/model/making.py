"""The class of a model, by its task."""

from bst.config import BSTConfig
from bst.model.click import ClickBST
from bst.model.network import BST

MODELS: dict[str, type[BST]] = {"next_item": BST, "click": ClickBST}


def make_model(config: BSTConfig) -> BST:
    """Build the model that `config` describes, with random weights: a `ClickBST` where its task is `click`."""
    return MODELS[config.task](config)
