"""Models of FuxiCTR: the experiment of a folder, its features, vocabularies and settings, and their reader."""

from bst.imports.fuxictr.reader import import_fuxictr

__all__ = ["import_fuxictr"]
