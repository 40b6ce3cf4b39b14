"""Imports: models that were trained elsewhere become runs."""

from bst.imports.fuxictr import import_fuxictr
from bst.imports.importer import IMPORTERS, Importer, ImportOptions
from bst.imports.notebook import import_notebook
from bst.imports.torch_rechub import describe, import_torch_rechub

__all__ = [
    "IMPORTERS",
    "ImportOptions",
    "Importer",
    "describe",
    "import_fuxictr",
    "import_notebook",
    "import_torch_rechub",
]
