"""The pipeline from a table of interactions to a run, for `bst train` and `bst evaluate`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bst.config import (
    EVENT_TIME,
    Architecture,
    BSTConfig,
    ContextFeature,
    DataConfig,
    EventFeature,
    ItemFeature,
    ItemNumber,
    Settings,
    TrainConfig,
)
from bst.data.batches import Examples
from bst.data.impressions import Impressions
from bst.errors import InputError
from bst.model import BST, make_model
from bst.run.dataset import Dataset
from bst.run.figures import require_tensorboard
from bst.run.folder import SCHEMA_VERSION, RunConfig, library_versions
from bst.run.growth.start import Start
from bst.run.heldout import draw_heldout
from bst.run.log import RunLog
from bst.run.quality import ClickQuality, Quality
from bst.run.tensors import digest
from bst.system.files import require_new
from bst.training.metrics import SCORE_BYTES, filter_by, rank
from bst.training.task import TASKS
from bst.training.trainer import EpochReport, Progress, Trainer
from bst.training.world import World

TRAINING = TrainConfig()
TRAINING_COPIES = 4  # weights, gradients and two moments


@dataclass(frozen=True)
class TrainingResult:
    """The metrics of the best epoch on the validation and the test targets, with baselines beside them.

    They are a `RankingMetrics` and a `Quality`, of a click model a `ClickMetrics` and a `ClickQuality`.
    """

    validation: Any
    test: Any


def train(
    dataset: Dataset,
    settings: Settings,
    out: Path | str,
    *,
    start: Start | None = None,
    world: World | None = None,
    resume: bool = False,
    tensorboard: bool = False,
    progress: Progress | None = None,
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> TrainingResult:
    """Train a model on `dataset` and write it as the run `out`.

    The run is created before the first step and every file of it is replaced atomically, the weights only by better
    ones. Killed at any moment and called again with `resume`, training ends with the same weights, to the bit, and
    writes the same metrics but for the speed. `resume` starts a run that does not exist, and measures one that is
    finished.

    Args:
        start: a run whose weights the training begins with; `dataset` holds the ids of that run too.
        world: the processes that train together (see `joined_world`); all call this, the first one writes.
        tensorboard: write scalars into `out/tensorboard` besides.
        on_epoch: called after each epoch; after a resume, also for the epochs before it.

    Raises:
        InputError: `out` exists; with `resume`, it is no run of these settings and data, or another process trains it;
            there is nothing to train on.
        CheckError: the loss became NaN or infinite; the files of the run stay.
    """
    out, world = Path(out), world or World()
    resuming = resume and _all_see(out, world)
    if not resuming:
        require_new(out, "the run")
    if tensorboard:
        require_tensorboard()
    require_label_fits(settings.model, settings.data, settings.training)
    _require_test(dataset)
    _require_item_features(dataset, settings.data)
    _require_inputs(dataset, settings)
    torch.manual_seed(settings.training.seed)
    config = _run_config(settings, dataset, start)
    trainer = _trainer(dataset, config, start, world, progress)
    log = RunLog(out, _origin(dataset, world, trainer.precision), writes=world.is_first, tensorboard=tensorboard)
    if not resuming:
        heldout = draw_heldout(dataset.split.test, config.model.max_length, config.training.seed)
        log.start(config, dataset.vocabularies, heldout, trainer.state())
    with log.alone():
        if resuming:
            log.resume(config, trainer.restore)
            for report in trainer.reports:
                on_epoch(report)
        for moment in trainer.moments():
            log.write(moment, trainer.reports, trainer.model)
            if isinstance(moment, EpochReport):
                on_epoch(moment)
        quality = measure_test(trainer.model, dataset, config, world)
        log.end(trainer.reports, quality)
    return TrainingResult(trainer.best_metrics, quality)


def _trainer(
    dataset: Dataset, config: RunConfig, start: Start | None, world: World, progress: Progress | None
) -> Trainer:
    model, training, validation = _made(config.model, dataset, start), config.training, dataset.split.validation
    if training.validation_users is not None:
        validation = _subset(validation, training.validation_users, training.seed)
    return Trainer(
        model, dataset.windows(config.model.max_length), validation, training, world=world, progress=progress
    )


def measure_test(model: BST, dataset: Dataset, config: RunConfig, world: World) -> Quality | ClickQuality:
    """Measure a model on the test targets, beside the baselines."""
    test, training, max_length = dataset.split.test, config.training, config.model.max_length
    if not config.model.scores_catalogue:
        return dataset.baselines.compare_clicks(model, test, training, max_length, world)
    filter_seen = bool(training.filter_seen)
    places = rank(model, test, max_length, filter_seen=filter_seen, world=world)
    return dataset.baselines.compare(places, test, filter_seen=filter_seen)


def _run_config(settings: Settings, dataset: Dataset, start: Start | None) -> RunConfig:
    """Join the settings with what the data decides: sizes, and what was left open of the training.

    Raises:
        InputError: the model does not fit into memory, or is of another form than that of `start`.
    """
    training = settings.training
    num_examples = dataset.windows(settings.model.max_length).num_examples
    training, _ = TASKS.find(settings.model.task).fitted(training, len(dataset.vocabularies.items), num_examples)
    if settings.model.scores_catalogue:
        filter_seen, _ = filter_by(training.filter_seen, dataset.split.validation)
        training = training.model_copy(update={"filter_seen": filter_seen})
    config = RunConfig(
        schema_version=SCHEMA_VERSION,
        model=model_config(settings, dataset),
        training=training,
        data=settings.data,
        versions=library_versions("polars"),
        started_from=None if start is None else start.sha256,
    )
    if start is not None:
        start.require_fits(config.model)
    config.model.require_memory(TRAINING_COPIES, SCORE_BYTES)
    return config


def _made(config: BSTConfig, dataset: Dataset, start: Start | None) -> BST:
    """Make the model, with what the tables say of its items, and with the weights of `start`."""
    model = make_model(config)
    if model.item_features is not None:
        model.item_features.set_values(*dataset.item_values())
    if start is not None:
        start.fill(model, config, dataset)
    return model


def model_config(settings: Settings, dataset: Dataset) -> BSTConfig:
    """Join the chosen architecture with the sizes of the data, and with what these decide."""
    vocabularies = dataset.vocabularies
    num_examples = dataset.windows(settings.model.max_length).num_examples
    architecture, _ = settings.model.fitted(len(vocabularies.items), num_examples)
    context = tuple(
        ContextFeature(name=name, num_categories=len(vocabulary), dim=settings.model.context_dim)
        for name, vocabulary in vocabularies.context.items()
    )
    item_features = tuple(
        ItemFeature(name=name, num_categories=len(feature.vocabulary), num_values=feature.values.shape[1])
        for name, feature in dataset.item_features.items()
    )
    return BSTConfig(
        **architecture.model_dump(),
        num_items=len(vocabularies.items),
        context=context,
        event_features=tuple(
            EventFeature(name=name, num_categories=len(vocabulary)) for name, vocabulary in vocabularies.events.items()
        ),
        numbers=dataset.numbers,
        item_features=item_features,
        item_numbers=tuple(
            ItemNumber(name=name, mean=number.mean, deviation=number.deviation)
            for name, number in dataset.item_numbers.items()
        ),
    )


def require_label_fits(
    model: Architecture, data: DataConfig, training: TrainConfig = TRAINING, *, chosen_negatives: str | None = None
) -> None:
    """Refuse a log of impressions for a model of another task than click, or beside settings of drawn negatives.

    Args:
        chosen_negatives: what the user chose as `negatives`, also where it is the default.
    """
    if data.label is None:
        return
    if model.scores_catalogue:
        raise InputError(
            f"label={data.label!r} is of click models, and a model of task {model.task!r} ranks the catalogue; say "
            "--task click"
        )
    for name in ("event_dropout", "overlap"):
        if value := getattr(training, name):
            requests = f"label={data.label!r} says what was shown in each request"
            raise InputError(f"{name}={value} is of histories, and {requests}; leave one of them out")
    drawing = {name: getattr(training, name) for name in ("negatives", "negatives_per_event")}
    for name, value in drawing.items():
        if value != getattr(TRAINING, name) or (name == "negatives" and chosen_negatives is not None):
            raise InputError(
                f"{name}={value!r} is of drawn negatives, and label={data.label!r} says what was not clicked; leave "
                "one of them out"
            )


def _require_test(dataset: Dataset) -> None:
    if not len(dataset.split.test):
        raise InputError(
            f"no user has a test target ({dataset.split.rule}, with an event before it); training needs users with "
            "three events or more, or another --split-at"
        )


def _subset(validation: Examples, count: int, seed: int) -> Examples:
    some = validation.subset(count, seed)
    if isinstance(some, Impressions) and not some.can_be_compared:
        raise InputError(
            f"validation_users={count}: none of these users has both a clicked impression and another, so there is no "
            "AUC by user; give more"
        )
    return some


def _require_item_features(dataset: Dataset, config: DataConfig) -> None:
    if config.value_separator is not None and not config.item_features:
        raise InputError(
            f"--value-separator {config.value_separator!r} splits the values of item features, and there are none; "
            "name them with --item-features"
        )
    asked_for = (*config.item_features, *config.item_numbers)
    had = (*dataset.item_features, *dataset.item_numbers)
    if asked_for != had:
        raise InputError(
            f"the settings want item features {', '.join(asked_for) or 'none'}, and the items of this table "
            f"have {', '.join(had) or 'none'}; give the table of items with --items"
        )


def _require_inputs(dataset: Dataset, settings: Settings) -> None:
    """Refuse settings that cannot be trained so, or of which the table was not read."""
    next_item = settings.model.scores_catalogue
    if not next_item and settings.training.filter_seen is not None:
        raise InputError(
            f"filter_seen={settings.training.filter_seen} is of rankings, and a click model scores candidates; leave "
            "it out"
        )
    if not next_item and settings.training.loss != "auto":
        raise InputError(
            f"loss={settings.training.loss!r} is of next-item models, and a click model has binary cross-entropy; "
            "leave it out"
        )
    if next_item and settings.model.mask == "full":
        raise InputError(
            "mask='full' is not for training: all prefixes of a history are trained at once, and an event would see "
            "the one that it is to predict; say 'causal'"
        )
    if next_item and settings.model.event_times == "to_request":
        raise InputError(
            "event_times='to_request' is not for training: all prefixes of a history are trained at once, and each "
            "would have a request of its own; say 'to_next', or task='click'"
        )
    if settings.model.reads_times != (EVENT_TIME in dataset.sequences.beside):
        raise InputError(
            f"event_times={settings.model.event_times!r}, and the table was read "
            f"{'with' if EVENT_TIME in dataset.sequences.beside else 'without'} times; give "
            "read_interactions(..., times=True) for a model of event times, and for no other"
        )
    if (settings.data.label is None) != (dataset.split.requests is None):
        raise InputError(
            f"label={settings.data.label!r}, and the table was read {'as' if dataset.split.requests else 'not as'} a "
            "log of impressions; read it with the same settings"
        )
    had = (tuple(dataset.vocabularies.events), tuple(number.name for number in dataset.numbers))
    if had != (named := (settings.data.event_features, settings.data.numbers)):
        raise InputError(
            f"the settings want event features and numbers {named}, and the table was read with {had}; read it with "
            "the same settings"
        )


def _all_see(run: Path, world: World) -> bool:
    count = int(world.sum(torch.tensor(int(run.exists()), device=world.device)).item())
    if count not in (0, world.size):
        raise InputError(
            f"{count} of {world.size} processes see the run {run}; put it where all machines do, or remove it"
        )
    return count > 0


def _origin(dataset: Dataset, world: World, precision: str) -> dict[str, Any]:
    """Return what, besides the settings, decides the weights to the bit."""
    data_sha256 = digest(*dataset.arrays, release=dataset.sequences.release)
    world.require_same(data_sha256, "data")
    return {
        "data_sha256": data_sha256,
        "vocabulary_sha256": hashlib.sha256(json.dumps(dataset.vocabularies.to_dict()).encode()).hexdigest(),
        **{name: version for name, version in library_versions().items() if name != "python"},
        "device": torch.device(world.device).type,
        "threads": torch.get_num_threads(),
        "processes": world.size,
        "precision": precision,
    }
