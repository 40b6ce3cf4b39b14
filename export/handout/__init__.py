"""Handouts: the README, programs and server folders of a bundle."""

from export.handout.card import write_card
from export.handout.triton import export_triton

__all__ = ["export_triton", "write_card"]
