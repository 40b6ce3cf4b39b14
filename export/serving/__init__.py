"""Serving: the network as it is served, with ids in and out."""

from export.serving.blocks import Blocks, blocks_of_model, boundaries
from export.serving.scorer import IntegerIds, Scorer, ServedModel, TextIds, make_scorer

__all__ = ["Blocks", "IntegerIds", "Scorer", "ServedModel", "TextIds", "blocks_of_model", "boundaries", "make_scorer"]
