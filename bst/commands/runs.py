"""`bst add-items` and `bst import`: runs that nothing trains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bst.commands.arguments import of_group
from bst.imports import IMPORTERS, ImportOptions
from bst.options import ITEM_OPTIONS, Changes, changed, with_options
from bst.run.folder import load_run, save_run
from bst.run.growth.new_items import add_items as with_new_items
from bst.system.commands import OUTPUT
from bst.system.files import require_new
from bst.system.text import split_list


@with_options(*ITEM_OPTIONS, of_a_run=True)
def add_items(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that `bst train` wrote, with item features.")],
    items: Annotated[Path, typer.Argument(metavar="ITEMS", help="Table of items, new ones among them.")],
    out: Annotated[Path, of_group(OUTPUT, "The run to write; must not exist.")],
    *,
    data: Changes,
) -> None:
    """Add new items to a run, to be scored by their features.

    They need no event. What the run writes is a run as any other: to be exported, evaluated, or exported into a bundle.
    """
    require_new(out, "the run")
    loaded = load_run(run)
    grown, remarks = with_new_items(loaded, items, changed(loaded.config.data, data))
    for line in remarks:
        print(line)
    save_run(out, grown)
    print(f"wrote {out}\nnext: bst export {out} --out BUNDLE")


def import_run(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"What trained the model: {', '.join(IMPORTERS.names)}.")],
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE...", help="The folder of the model; of a notebook WEIGHTS CONFIG.")
    ],
    out: Annotated[Path, typer.Option(help="The run to write; must not exist.")],
    experiment: Annotated[
        str, typer.Option(help="Of FuxiCTR: the experiment in model_config.yaml.  [default: the name of the weights]")
    ] = "",
    normaliser: Annotated[
        list[str] | None,
        typer.Option(help="Of FuxiCTR: NAME=MEAN:SCALE of a number that has a normalizer; may be given again."),
    ] = None,
    context: Annotated[
        str, typer.Option(help="Of a notebook: names of the context features, in order.  [default: context_0,...]")
    ] = "",
) -> None:
    """Turn a model that was trained elsewhere into a run.

    It gives the scores that it gave there. Nothing in the files is run. The run of a ranker has a report, import.md.
    """
    require_new(out, "the run")
    options = ImportOptions(experiment or None, tuple(normaliser or ()), tuple(split_list(context)))
    for line in IMPORTERS.find(kind).read(sources, out, options).lines:
        print(line)
    print(f"wrote {out}\nnext: bst export {out} --out BUNDLE")
