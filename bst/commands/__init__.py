"""The commands of this package: what `bst train`, `evaluate`, `add-items` and `import` do."""

from bst.commands.evaluation import evaluate
from bst.commands.runs import add_items, import_run
from bst.commands.training import train

__all__ = ["add_items", "evaluate", "import_run", "train"]
