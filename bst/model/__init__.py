"""The network: how items and what stands beside them become a vector of the user, and scores."""

from bst.model.cells import EncoderCell, SelfAttention
from bst.model.click import ClickBST
from bst.model.folding import fold_fields
from bst.model.initialisation import sinusoidal_positions
from bst.model.making import make_model
from bst.model.network import BST

__all__ = ["BST", "ClickBST", "EncoderCell", "SelfAttention", "fold_fields", "make_model", "sinusoidal_positions"]
