"""The importers by name: a kind of model is a value, and a new one is added to the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from bst.errors import InputError
from bst.imports.fuxictr import import_fuxictr
from bst.imports.fuxictr.experiment import MAP_FILE
from bst.imports.fuxictr.settings import parse_normaliser
from bst.imports.notebook import import_notebook
from bst.imports.rankers.saving import Imported
from bst.imports.torch_rechub import import_torch_rechub
from bst.imports.torch_rechub.reader import WEIGHTS
from bst.system.registry import Registry


@dataclass(frozen=True)
class ImportOptions:
    """What a user may say beside the sources; not every importer takes each.

    Attributes:
        experiment: the name of an experiment.
        normaliser: `NAME=MEAN:SCALE` of numbers.
        context: names of context features, in order.
    """

    experiment: str | None = None
    normaliser: tuple[str, ...] = ()
    context: tuple[str, ...] = ()


@dataclass(frozen=True)
class Importer:
    """An importer.

    Attributes:
        sources: the words for the paths that it reads.
        options: the names of the options that it takes.
        make: reads the sources and writes the run.
        marks: a pattern of a file that the folder of such a model has; None where the sources are no folder.
    """

    name: str
    sources: tuple[str, ...]
    options: tuple[str, ...]
    make: Callable[[Sequence[Path], Path, ImportOptions], Imported]
    marks: str | None = None

    def read(self, sources: Sequence[Path], out: Path, options: ImportOptions) -> Imported:
        """Turn what `sources` hold into the run `out`.

        Raises:
            InputError: there are more or fewer sources, or an option is of another kind of model; as the importer
                itself raises it.
        """
        usage = f"bst import {self.name} {' '.join(self.sources)} --out RUN"
        if len(sources) != len(self.sources):
            raise InputError(f"{len(sources)} paths for {' '.join(self.sources)}; write {usage}")
        for option in fields(options):
            if option.name not in self.options and getattr(options, option.name) != option.default:
                raise InputError(f"--{option.name} is not of {self.name}; leave it out")
        return self.make(sources, out, options)


def _notebook(sources: Sequence[Path], out: Path, options: ImportOptions) -> Imported:
    weights, config = sources
    run = import_notebook(weights, config, out, options.context)
    model = run.config.model
    size = f"{model.num_items:,} items, dim {model.dim}, {model.num_blocks} blocks"
    return Imported(run, (f"{size}, {len(model.context)} context features",))


def _torch_rechub(sources: Sequence[Path], out: Path, options: ImportOptions) -> Imported:
    return import_torch_rechub(sources[0], out)


def _fuxictr(sources: Sequence[Path], out: Path, options: ImportOptions) -> Imported:
    return import_fuxictr(sources[0], out, options.experiment, dict(map(parse_normaliser, options.normaliser)))


IMPORTERS = Registry(
    "model kind",
    [
        Importer("torch-rechub", ("DIR",), (), _torch_rechub, marks=WEIGHTS),
        Importer("fuxictr", ("DIR",), ("experiment", "normaliser"), _fuxictr, marks=f"**/{MAP_FILE}"),
        Importer("notebook", ("WEIGHTS", "CONFIG"), ("context",), _notebook),
    ],
)


def library_of(folder: Path) -> str:
    """Return the name of the importer that reads a folder.

    Raises:
        InputError: no importer does.
    """
    marks = {importer.name: importer.marks for importer in IMPORTERS if importer.marks}
    for name, pattern in marks.items():
        if next(folder.glob(pattern), None):
            return name
    lacking = ", ".join(f"{Path(pattern).name} ({name})" for name, pattern in marks.items())
    raise InputError(f"{folder} has none of {lacking}; give the folder that `bst import` read")
