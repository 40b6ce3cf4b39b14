"""The shortlist: the best of all items, without reading all weights."""

from export.shortlist.choice import Shortlist, choose_shortlist

__all__ = ["Shortlist", "choose_shortlist"]
