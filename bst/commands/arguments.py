"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bst.system.commands import INPUT, MODEL


def of_group(group: str, help: str, *flags: str) -> Any:
    """Make an option of a group of the help."""
    return typer.Option(*flags, help=help, rich_help_panel=group)


TABLE_HELP = "Events: CSV and its relatives, JSON lines (also .gz) or Parquet; a folder or 'pattern' of parts."
Table = Annotated[Path, typer.Argument(metavar="INTERACTIONS", help=TABLE_HELP)]
CONTEXT_HELP = (
    "Context features: columns, separated by commas. Values are taken from the event to be predicted, so they must be "
    "known before it."
)
Context = Annotated[str, typer.Option(help=CONTEXT_HELP, rich_help_panel=INPUT)]
Users = Annotated[
    Path | None,
    of_group(INPUT, "Table of users, joined for context features that it holds."),
]
FilterSeen = Annotated[
    bool | None,
    of_group(
        MODEL,
        "Leave items of the history out of the ranking, or rank all.  [default: decided when a run is trained]",
        "--filter-seen/--keep-seen",
    ),
]
Device = Annotated[str, of_group(MODEL, "Where to compute: cpu or cuda.")]
