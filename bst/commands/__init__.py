"""The commands of this package: `bst prepare`, `train`, `evaluate`, `add-items` and `import`."""

from bst.commands.evaluation import evaluate
from bst.commands.preparation import prepare
from bst.commands.runs import add_items, import_run
from bst.commands.training import train

__all__ = ["add_items", "evaluate", "import_run", "prepare", "train"]
