"""Imports: models that were trained elsewhere become runs."""

from bst.imports.notebook import import_notebook
from bst.imports.torch_rechub import describe, import_torch_rechub

__all__ = ["describe", "import_notebook", "import_torch_rechub"]
