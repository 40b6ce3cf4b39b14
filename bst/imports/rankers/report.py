"""The report of an import: `import.md` of the run, and the lines that a command prints of it."""

from __future__ import annotations

from collections.abc import Sequence

from bst.config import BSTConfig
from bst.imports.rankers.account import Account

REPORT_FILE = "import.md"


def report_page(library: str, account: Account, config: BSTConfig) -> str:
    """Write the page: what the import decided, where each setting came from, and where each tensor went."""
    inputs = [name for group in (*config.inputs, *config.candidate_inputs) for name in group.names(config)]
    asked_for = "`, `".join(["history", "candidates", *inputs])
    parts = [
        f"# A model of {library}",
        f"{account.source}: {config.num_items:,} items, dim {config.dim}, {config.num_blocks} blocks. A request "
        f"has the inputs `{asked_for}`. The scores are the numbers that enter the library's last sigmoid.",
        "## What the import fixed",
        "\n".join(f"* {sentence}" for sentence in account.remarks),
        "## Settings",
        _table(("setting", "value", "from"), account.settings),
        "## Tensors",
        f"All {len(account.moves)} tensors of the file, each used once.",
        _table(("tensor", "shape", "new place"), [(name, str(list(shape)), to) for name, shape, to in account.moves]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def report_lines(account: Account, config: BSTConfig) -> list[str]:
    """Return the lines that a command prints."""
    size = f"{config.num_items:,} items, dim {config.dim}, {config.num_blocks} blocks"
    return [f"{size}; {len(account.moves)} tensors, each used once", *(f"* {line}" for line in account.remarks)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
