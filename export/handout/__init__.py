"""Handouts: what a bundle comes with for people and for servers."""

from export.handout.card import write_card
from export.handout.triton import export_triton

__all__ = ["export_triton", "write_card"]
