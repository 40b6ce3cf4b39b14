"""Serving: the network as it is served, with ids in and out."""

from export.serving.scorer import Scorer, ServedModel, make_scorer

__all__ = ["Scorer", "ServedModel", "make_scorer"]
