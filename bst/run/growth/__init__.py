"""The growth of a run: new items that its features score, and a training that goes on from it."""

from bst.run.growth.new_items import add_items
from bst.run.growth.start import Start, grown_dataset

__all__ = ["Start", "add_items", "grown_dataset"]
