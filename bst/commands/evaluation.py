"""`bst evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from bst.commands.arguments import Device, FilterSeen, Table, Users, of_group
from bst.data.interactions import read_interactions
from bst.data.prepared.folder import refuse_prepared
from bst.errors import InputError
from bst.options import TABLE_OPTIONS, Changes, changed, with_options
from bst.run.dataset import Dataset
from bst.run.figures import draw_calibration, require_svg, save_figure
from bst.run.folder import Run, load_run
from bst.run.pipeline import require_label_fits
from bst.run.places import require_places, write_places
from bst.run.quality import ClickQuality, Quality
from bst.run.summary import (
    about_table,
    quality_lines,
    unknown_lines,
    warn_of_another_split,
)
from bst.system.commands import OUTPUT
from bst.system.files import to_json
from bst.system.text import split_list
from bst.training.metrics import KS, SCORE_BYTES, filter_by, rank
from bst.training.world import World, require_device

ALL_KS = ",".join(map(str, KS))
NEVER = "are items without an earlier event in this table, where baselines count"


@with_options(*TABLE_OPTIONS, of_a_run=True)
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that `bst train` wrote.")],
    interactions: Table,
    *,
    data: Changes,
    users: Users = None,
    filter_seen: FilterSeen = None,
    k: Annotated[str, of_group(OUTPUT, "The k of the metrics, separated by commas.")] = ALL_KS,
    places: Annotated[
        Path | None, of_group(OUTPUT, "Parquet to write: each user's target, its place; must not exist.")
    ] = None,
    calibration: Annotated[
        Path | None, of_group(OUTPUT, "SVG to write: calibration on the test; must not exist.")
    ] = None,
    device: Device = "cpu",
    json_output: Annotated[bool, of_group(OUTPUT, "Print the metrics as JSON.", "--json")] = False,
) -> None:
    """Measure a run on the test event of each user.

    The whole catalogue is ranked. The table is read with the run's settings, unless options change them.
    """
    require_device(device)
    refuse_prepared(interactions, "bst evaluate")
    ks = _ks(k)
    loaded = load_run(run)
    _require_of_task(loaded.config.model.scores_catalogue, filter_seen, k, places, calibration)
    loaded.config.model.require_memory(0, SCORE_BYTES)
    evaluated = changed(loaded.config.data, data)
    require_label_fits(loaded.config.model, evaluated)
    # Items are text here too where they are text in the run, also those that look like numbers.
    text_items = loaded.vocabularies.items.dtype == "string"
    times = loaded.config.model.reads_times
    table = read_interactions(interactions, evaluated, users, text_items=text_items, times=times)
    dataset = Dataset.build(table, loaded.vocabularies)
    if not len(dataset.split.test):
        raise InputError(f"no user of {interactions} has a test target, {dataset.split.rule}; give more events")
    if not dataset.sequences.items.any():
        raise InputError(f"{run} knows no item of {interactions}; give events of the items that it was trained on")
    warn_of_another_split(evaluated, loaded.config.data)
    if not loaded.config.model.scores_catalogue:
        lines = (*about_table(dataset), *unknown_lines(dataset, table))
        _evaluate_clicks(loaded, dataset, lines, device, calibration, json_output=json_output)
        return
    chosen = loaded.config.training.filter_seen if filter_seen is None else filter_seen
    filtered, filter_line = filter_by(chosen, dataset.split.validation)
    splits = {name: examples for name, examples in dataset.split.targets.items() if len(examples)}
    model, length, world = loaded.model.to(device), loaded.config.model.max_length, World(device=device)
    ranks, qualities = {}, {}
    for name, examples in splits.items():
        ranks[name] = rank(model, examples, length, filter_seen=filtered, world=world)
        qualities[name] = dataset.baselines.compare(ranks[name], examples, filter_seen=filtered, ks=ks)
    if places is not None:
        write_places(places, table, dataset, ranks, filter_seen=filtered)
    lines = (*about_table(dataset), filter_line, *unknown_lines(dataset, table))
    _print_qualities(qualities, lines, json_output=json_output)
    if places is not None and not json_output:
        print(f"wrote {places}")


def _require_of_task(
    next_item: bool, filter_seen: bool | None, k: str, places: Path | None, calibration: Path | None
) -> None:
    """Refuse options of another task, and files that cannot be written."""
    if next_item and calibration is not None:
        raise InputError("--calibration is of probabilities, and a next-item model ranks; leave it out")
    options = {"--filter-seen": filter_seen is not None, "--k": k != ALL_KS, "--places": places is not None}
    for option in (option for option, is_there in options.items() if is_there and not next_item):
        raise InputError(f"{option} is of rankings, and a click model scores candidates; leave it out")
    if places is not None:
        require_places(places)
    if calibration is not None:
        require_svg(calibration)


def _evaluate_clicks(
    run: Run, dataset: Dataset, lines: Iterable[str], device: str, figure: Path | None, *, json_output: bool
) -> None:
    """Measure a click model on the held-out targets of a dataset, print its quality after `lines`, draw `figure`."""
    model, world = run.model.to(device), World(device=device)
    training, max_length = run.config.training, run.config.model.max_length
    qualities = {
        name: dataset.baselines.compare_clicks(model, examples, training, max_length, world)
        for name, examples in dataset.split.targets.items()
        if len(examples)
    }
    _print_qualities(qualities, lines, json_output=json_output)
    if figure is not None:
        save_figure(figure, lambda: draw_calibration(qualities["test"].model.calibration, "test"))
        if not json_output:
            print(f"wrote {figure}")


def _print_qualities(
    qualities: Mapping[str, Quality | ClickQuality], lines: Iterable[str], *, json_output: bool
) -> None:
    """Print the quality on each split after `lines`, or all of it as JSON."""
    if json_output:
        print(to_json({name: quality.to_dict() for name, quality in qualities.items()}), end="")
        return
    for line in lines:
        print(line)
    for name, quality in qualities.items():
        for line in quality_lines(quality, name, NEVER):
            print(line)


def _ks(text: str) -> tuple[int, ...]:
    parts = split_list(text)
    if not parts or not all(part.isascii() and part.isdigit() and 0 < int(part) < 2**31 for part in parts):
        raise InputError(f"--k {text!r} is no list of whole numbers from 1 up; such as 5,10,20")
    return tuple(sorted({int(part) for part in parts}))
