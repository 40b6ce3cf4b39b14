"""Imports: models that were trained elsewhere become runs."""

from bst.imports.notebook import import_notebook

__all__ = ["import_notebook"]
