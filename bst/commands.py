"""`bst train`, `bst evaluate`, `bst add-items` and `bst import`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bst.config import PRESETS, Settings, TrainConfig, with_preset
from bst.data.interactions import read_interactions
from bst.errors import InputError
from bst.imports import IMPORTERS, ImportOptions
from bst.options import ITEM_OPTIONS, TABLE_OPTIONS, TRAINING_OPTIONS, Changes, changed, with_options
from bst.run.dataset import Dataset
from bst.run.figures import draw_calibration, require_svg, save_figure
from bst.run.folder import Run, load_run, save_run
from bst.run.new_items import add_items as with_new_items
from bst.run.pipeline import require_label_fits
from bst.run.pipeline import train as train_dataset
from bst.run.places import require_places, write_places
from bst.run.quality import ClickQuality, Quality
from bst.run.summary import (
    about_table,
    about_training,
    epoch_head,
    epoch_line,
    quality_lines,
    unknown_lines,
    warn_of_another_split,
)
from bst.settings_file import read_settings
from bst.system.commands import INPUT, MODEL, OUTPUT
from bst.system.console import progress_bar
from bst.system.files import require_new, to_json
from bst.system.text import split_list
from bst.system.validation import validated
from bst.training.metrics import KS, SCORE_BYTES, filter_by, rank
from bst.training.world import World, joined_world, require_device

TRAINING = TrainConfig()
ALL_KS = ",".join(map(str, KS))
NEVER = "are items without an earlier event in this table, where baselines count"


def _of(group: str, help: str, *flags: str) -> Any:
    """Make an option of a group of the help."""
    return typer.Option(*flags, help=help, rich_help_panel=group)


CONTEXT_HELP = (
    "Context features: columns, separated by commas. Values are taken from the event to be predicted, so they must be "
    "known before it."
)
VALIDATION_HELP = "Number of random users by which the best epoch is chosen.  [default: all]"
TABLE_HELP = "Events: CSV and its relatives, JSON lines (also .gz) or Parquet; a folder or 'pattern' of parts."
Table = Annotated[Path, typer.Argument(metavar="INTERACTIONS", help=TABLE_HELP)]
Users = Annotated[
    Path | None,
    _of(INPUT, "Table of users, joined for context features that it holds."),
]
FilterSeen = Annotated[
    bool | None,
    _of(
        MODEL,
        "Leave items of the history out of the ranking, or rank all.  [default: decided when a run is trained]",
        "--filter-seen/--keep-seen",
    ),
]
Items = Annotated[Path | None, _of(INPUT, "Table of items, for their features and for names that people are shown.")]
TaskName = Annotated[str | None, _of(MODEL, "What to learn: next_item or click.  [default: next_item]")]
EventTimes = Annotated[
    str | None,
    _of(
        MODEL, "Read the time from each event to the next one, or to the request: to_next, to_request.  [default: none]"
    ),
]
Draw = Annotated[
    str | None, _of(MODEL, "How a click model's negatives are drawn: uniform or popularity.  [default: uniform]")
]
Device = Annotated[str, _of(MODEL, "Where to compute: cpu or cuda.")]


@with_options(*TABLE_OPTIONS, *TRAINING_OPTIONS)
def train(
    interactions: Table,
    out: Annotated[Path, _of(OUTPUT, "The run to write; must not exist.")],
    *,
    data: Changes,
    users: Users = None,
    items: Items = None,
    context: Annotated[str, _of(INPUT, CONTEXT_HELP)] = "",
    config: Annotated[Path | None, _of(MODEL, "TOML with tables [model], [training], [data].")] = None,
    preset: Annotated[str | None, _of(MODEL, f"Settings of a model by name: {', '.join(PRESETS.names)}.")] = None,
    task: TaskName = None,
    event_times: EventTimes = None,
    negatives: Draw = None,
    epochs: Annotated[int | None, _of(MODEL, f"Passes over the data.  [default: {TRAINING.epochs}]")] = None,
    seed: Annotated[int | None, _of(MODEL, f"Fixes every random choice.  [default: {TRAINING.seed}]")] = None,
    device: Device = "cpu",
    filter_seen: FilterSeen = None,
    validation_users: Annotated[int | None, _of(MODEL, VALIDATION_HELP)] = None,
    resume: Annotated[bool, _of(MODEL, "Go on from the last checkpoint, if the run is there.", "--resume")] = False,
    tensorboard: Annotated[bool, _of(OUTPUT, "Write scalars into tensorboard/ besides.", "--tensorboard")] = False,
) -> None:
    """Train a model on a table of interactions and write a run.

    Several processes share the work when torchrun starts them: torchrun --nproc-per-node 2 -m bst train ...
    """
    if not resume:
        require_new(out, "the run")
    settings = _merged(
        _chosen(config, preset),
        model={"task": task, "event_times": event_times},
        training={
            **{"epochs": epochs, "seed": seed, "filter_seen": filter_seen, "validation_users": validation_users},
            **{"negatives": negatives},
        },
        data={"context": tuple(split_list(context)) or None, **data},
    )
    require_label_fits(settings.model, settings.data, settings.training, chosen_negatives=negatives)
    with joined_world(device) as world:
        say = print if world.is_first else _silent
        table = read_interactions(interactions, settings.data, users, times=settings.model.reads_times)
        dataset = Dataset.build(table)
        if items:
            dataset = dataset.with_items(items, settings.data)
        for line in about_training(dataset, settings):
            say(line)
        if world.is_first and dataset.split.requests is None:
            dataset.baselines.warn_of_telling_context(settings.data.context, dataset.event_context)
        say(epoch_head(settings.model.task))
        result = train_dataset(
            dataset,
            settings,
            out,
            world=world,
            resume=resume,
            tensorboard=tensorboard,
            progress=progress_bar if world.is_first else None,
            on_epoch=lambda report: say(epoch_line(report, settings.training.epochs), flush=True),
        )
        for line in quality_lines(result.test, "test"):
            say(line)
        say(f"wrote {out}\nnext: bst export {out} --out BUNDLE")


@with_options(*TABLE_OPTIONS, of_a_run=True)
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that `bst train` wrote.")],
    interactions: Table,
    *,
    data: Changes,
    users: Users = None,
    filter_seen: FilterSeen = None,
    k: Annotated[str, _of(OUTPUT, "The k of the metrics, separated by commas.")] = ALL_KS,
    places: Annotated[
        Path | None, _of(OUTPUT, "Parquet to write: each user's target, its place; must not exist.")
    ] = None,
    calibration: Annotated[Path | None, _of(OUTPUT, "SVG to write: calibration on the test; must not exist.")] = None,
    device: Device = "cpu",
    json_output: Annotated[bool, _of(OUTPUT, "Print the metrics as JSON.", "--json")] = False,
) -> None:
    """Measure a run on the test event of each user.

    The whole catalogue is ranked. The table is read with the run's settings, unless options change them.
    """
    require_device(device)
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
    model, world = loaded.model.to(device), World(device=device)
    ranks = {
        name: rank(model, examples, loaded.config.model.max_length, filter_seen=filtered, world=world)
        for name, examples in splits.items()
    }
    qualities = {
        name: dataset.baselines.compare(ranks[name], examples, filter_seen=filtered, ks=ks)
        for name, examples in splits.items()
    }
    if places is not None:
        write_places(places, table, dataset, ranks, filter_seen=filtered)
    lines = (*about_table(dataset), filter_line, *unknown_lines(dataset, table))
    _print_qualities(qualities, lines, json_output=json_output)
    if places is not None and not json_output:
        print(f"wrote {places}")


@with_options(*ITEM_OPTIONS, of_a_run=True)
def add_items(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that `bst train` wrote, with item features.")],
    items: Annotated[Path, typer.Argument(metavar="ITEMS", help="Table of items, new ones among them.")],
    out: Annotated[Path, _of(OUTPUT, "The run to write; must not exist.")],
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


def _silent(*words: object, flush: bool = False) -> None:
    """Print nothing, in the processes other than the first."""


def _chosen(config: Path | None, preset: str | None) -> Settings:
    settings = read_settings(config) if config else Settings()
    if preset is None:
        return settings
    return settings.model_copy(update={"model": with_preset(settings.model, preset)})


def _merged(settings: Settings, **tables: Changes) -> Settings:
    values = settings.model_dump(exclude_unset=True)  # the defaults of a model depend on its task
    for table, changes in tables.items():
        values.setdefault(table, {}).update({key: value for key, value in changes.items() if value is not None})
    return validated(Settings, values, "the options")
