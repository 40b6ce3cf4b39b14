"""`bst prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bst.commands.arguments import Context, Users, of_group
from bst.config import DataConfig
from bst.data.prepared import prepare as prepare_table
from bst.options import PREPARED_OPTIONS, Changes, with_options
from bst.system.commands import OUTPUT
from bst.system.text import split_list
from bst.system.validation import validated


@with_options(*PREPARED_OPTIONS)
def prepare(
    tables: Annotated[
        list[Path],
        typer.Argument(metavar="EVENTS...", help="Events: files, folders or 'patterns', read as one table."),
    ],
    out: Annotated[Path, of_group(OUTPUT, "The folder to write; must not exist.")],
    *,
    data: Changes,
    users: Users = None,
    context: Context = "",
) -> None:
    """Sort events of any size into a folder that `bst train` maps.

    Memory holds a few million rows at a time; the disk of --out needs room for the table twice besides.
    """
    chosen = {**data, "context": tuple(split_list(context))}
    prepared = prepare_table(tables, validated(DataConfig, chosen, "the options"), out, users)
    print(f"{prepared.num_events:,} events of {prepared.num_users:,} users, {prepared.span}")
    for line in prepared.facts(times=True).lines():
        print(line)
    print(f"wrote {out}\nnext: bst train {out} --out RUN")
