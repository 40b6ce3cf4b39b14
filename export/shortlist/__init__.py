"""The shortlist: the best of all items, without reading all weights."""

from export.shortlist.bounds import TINY, USER_LEVELS, Scan
from export.shortlist.choice import Shortlist, choose_shortlist
from export.shortlist.rates import measure_rates

__all__ = ["TINY", "USER_LEVELS", "Scan", "Shortlist", "choose_shortlist", "measure_rates"]
