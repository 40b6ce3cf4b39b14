"""`bst train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bst.commands.arguments import Context, Device, FilterSeen, Table, Users, of_group
from bst.config import PRESETS, Settings, TrainConfig, with_preset
from bst.data.interactions import read_interactions
from bst.data.prepared import Prepared, is_prepared, open_prepared
from bst.data.prepared.folder import refuse_prepared
from bst.errors import InputError
from bst.options import TABLE_OPTIONS, TRAINING_OPTIONS, Changes, with_options
from bst.run.dataset import Dataset
from bst.run.folder import Run
from bst.run.growth import Start as StartedFrom
from bst.run.growth import grown_dataset
from bst.run.pipeline import require_label_fits
from bst.run.pipeline import train as train_dataset
from bst.run.summary import (
    about_training,
    epoch_head,
    epoch_line,
    quality_lines,
)
from bst.settings_file import read_settings, settings_of
from bst.system.commands import INPUT, MODEL, OUTPUT
from bst.system.console import progress_bar
from bst.system.files import require_new
from bst.system.text import split_list
from bst.system.validation import validated
from bst.training.world import joined_world

TRAINING = TrainConfig()
VALIDATION_HELP = "Number of random users by which the best epoch is chosen.  [default: all]"
Items = Annotated[
    Path | None, of_group(INPUT, "Table of items, for their features and for names that people are shown.")
]
TaskName = Annotated[str | None, of_group(MODEL, "What to learn: next_item or click.  [default: next_item]")]
EventTimes = Annotated[
    str | None,
    of_group(
        MODEL, "Read the time from each event to the next one, or to the request: to_next, to_request.  [default: none]"
    ),
]
Start = Annotated[
    Path | None,
    of_group(
        MODEL, "A run to go on from: its model, settings, ids and weights. New users and items may come.", "--from"
    ),
]
Resume = Annotated[bool, of_group(MODEL, "Go on from the last checkpoint, if the run is there.", "--resume")]
Draw = Annotated[
    str | None, of_group(MODEL, "How a click model's negatives are drawn: uniform or popularity.  [default: uniform]")
]


@with_options(*TABLE_OPTIONS, *TRAINING_OPTIONS)
def train(
    interactions: Table,
    out: Annotated[Path, of_group(OUTPUT, "The run to write; must not exist.")],
    *,
    data: Changes,
    users: Users = None,
    items: Items = None,
    context: Context = "",
    config: Annotated[Path | None, of_group(MODEL, "TOML with tables [model], [training], [data].")] = None,
    start: Start = None,
    preset: Annotated[str | None, of_group(MODEL, f"Settings of a model by name: {', '.join(PRESETS.names)}.")] = None,
    task: TaskName = None,
    event_times: EventTimes = None,
    negatives: Draw = None,
    epochs: Annotated[int | None, of_group(MODEL, f"Passes over the data.  [default: {TRAINING.epochs}]")] = None,
    seed: Annotated[int | None, of_group(MODEL, f"Fixes every random choice.  [default: {TRAINING.seed}]")] = None,
    device: Device = "cpu",
    filter_seen: FilterSeen = None,
    validation_users: Annotated[int | None, of_group(MODEL, VALIDATION_HELP)] = None,
    resume: Resume = False,
    tensorboard: Annotated[bool, of_group(OUTPUT, "Write scalars into tensorboard/ besides.", "--tensorboard")] = False,
) -> None:
    """Train a model on a table of interactions and write a run.

    Several processes share the work when torchrun starts them: torchrun --nproc-per-node 2 -m bst train ...
    """
    if not resume:
        require_new(out, "the run")
    begun = StartedFrom.read(start) if start else None
    source = begun.run if begun else None
    events = _opened(interactions, source)
    settings = _merged(
        _chosen(config, preset, source),
        model={"task": task, "event_times": event_times},
        training={
            **{"epochs": epochs, "seed": seed, "filter_seen": filter_seen, "validation_users": validation_users},
            **{"negatives": negatives},
        },
        data={"context": tuple(split_list(context)) or None, **data},
    )
    settings = _as_prepared(settings, events)
    require_label_fits(settings.model, settings.data, settings.training, chosen_negatives=negatives)
    with joined_world(device) as world:
        say = print if world.is_first else _silent
        dataset = _read(events, settings, users, items, source)
        for line in about_training(dataset, settings, source, world):
            say(line)
        if world.is_first and dataset.split.requests is None:
            dataset.baselines.warn_of_telling_context(settings.data.context, dataset.event_context)
        say(epoch_head(settings.model.task))
        result = train_dataset(
            dataset,
            settings,
            out,
            start=begun,
            world=world,
            resume=resume,
            tensorboard=tensorboard,
            progress=progress_bar if world.is_first else None,
            on_epoch=lambda report: say(epoch_line(report, settings.training.epochs), flush=True),
        )
        for line in quality_lines(result.test, "test"):
            say(line)
        say(f"wrote {out}\nnext: bst export {out} --out BUNDLE")


def _opened(interactions: Path, source: Run | None) -> Path | Prepared:
    """Open prepared data; a table is opened when all options are there."""
    if source is not None:
        refuse_prepared(interactions, "--from")
    return open_prepared(interactions) if is_prepared(interactions) else interactions


def _as_prepared(settings: Settings, events: Path | Prepared) -> Settings:
    """Return the settings with those by which `events` were prepared."""
    if not isinstance(events, Prepared):
        return settings
    return settings.model_copy(update={"data": events.settings(settings.data)})


def _read(
    events: Path | Prepared, settings: Settings, users: Path | None, items: Path | None, source: Run | None
) -> Dataset:
    """Read the tables of a training that begins, or that goes on from the run `source`."""
    times = settings.model.reads_times
    if isinstance(events, Prepared):
        if users is not None:
            raise InputError(f"--users {users} is of a table, and {events.path} is prepared; leave it out")
        dataset = Dataset.of_prepared(events, times=times)
    elif source is not None:
        return grown_dataset(source, events, settings.data, users, items)
    else:
        dataset = Dataset.build(read_interactions(events, settings.data, users, times=times))
    return dataset.with_items(items, settings.data) if items else dataset


def _silent(*words: object, flush: bool = False) -> None:
    """Print nothing, in the processes other than the first."""


def _chosen(config: Path | None, preset: str | None, source: Run | None) -> Settings:
    """Return the settings before options: those that go on from the run `source` or the defaults, a TOML's, a
    preset's.
    """
    settings = read_settings(config) if config else Settings()
    if source is not None:
        if preset is not None:
            raise InputError(f"--preset {preset} makes a new model, and --from keeps one; leave one of them out")
        of_run = settings_of(source.config)
        going_on = of_run.model_copy(update={"training": of_run.training.going_on(of_run.model.task)})
        return _merged(going_on, **settings.model_dump(exclude_unset=True))
    if preset is None:
        return settings
    return settings.model_copy(update={"model": with_preset(settings.model, preset)})


def _merged(settings: Settings, **tables: Changes) -> Settings:
    values = settings.model_dump(exclude_unset=True)  # the defaults of a model depend on its task
    for table, changes in tables.items():
        values.setdefault(table, {}).update({key: value for key, value in changes.items() if value is not None})
    return validated(Settings, values, "the options")
