"""Prepared data: events sorted by user and time as flat arrays on disk, for training on more than memory holds."""

from bst.data.prepared.folder import Prepared, is_prepared, open_prepared
from bst.data.prepared.preparation import prepare

__all__ = ["Prepared", "is_prepared", "open_prepared", "prepare"]
