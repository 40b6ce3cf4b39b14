"""Models of torch-rechub: the description that a model file lacks, its reader, and its writer for a live model."""

from bst.imports.torch_rechub.describe import describe
from bst.imports.torch_rechub.reader import import_torch_rechub

__all__ = ["describe", "import_torch_rechub"]
