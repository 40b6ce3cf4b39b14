"""The network: how items and what stands beside them become a vector of the user, and scores."""

from bst.model.cells import EncoderCell, SelfAttention
from bst.model.folding import fold_fields
from bst.model.initialisation import sinusoidal_positions
from bst.model.network import BST

__all__ = ["BST", "EncoderCell", "SelfAttention", "fold_fields", "sinusoidal_positions"]
