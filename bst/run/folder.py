"""The run folder: a trained model with its settings and vocabularies, without pickle.

config.json           settings of model, training and data, sizes, versions
model.safetensors     weights of the best epoch so far, once the first epoch has ended
vocabulary.json       raw ids of items and categories, in the order of their indices
heldout.safetensors   histories and contexts of some held-out users, for golden vectors and measuring
test.safetensors      whole histories of test users with the next item, for the quality of a bundle
metrics.jsonl         a line an epoch; at the end one of the test, with its baselines
training.safetensors  the state for `--resume` (see `bst/run/state_file.py`)
import.md             of an imported ranker: where each tensor and setting came from
learning_curve.svg    loss and validation metrics by epoch, when training has ended
calibration.svg       of a click model: the share clicked by probability, on the test
tensorboard/          on request
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from bst import __version__
from bst.config import BSTConfig, DataConfig, Frozen, TrainConfig
from bst.data.vocabulary import OPTIONAL, Vocabularies
from bst.errors import InputError
from bst.model import BST, make_model
from bst.model.folding import fold_fields
from bst.run.heldout import Heldout, read_heldout, write_heldout
from bst.run.tensors import WHAT, read_tensors
from bst.system.files import (
    DATA_BYTES,
    parse_json,
    read_json,
    read_text,
    staged_folder,
    to_json,
    write_atomically,
)
from bst.system.unfilled import unfilled
from bst.system.validation import validated

SCHEMA_VERSION = 2
WEIGHTS_FILE = "model.safetensors"
VOCABULARY_FILE = "vocabulary.json"
STATE_FILE = "training.safetensors"
MAPPED_BYTES = 2**26  # weights of this size and more are mapped from the file, not read


class RunConfig(Frozen):
    """The content of `config.json`."""

    schema_version: int
    model: BSTConfig
    training: TrainConfig
    data: DataConfig
    versions: dict[str, str]
    started_from: str | None = None
    """The `run_hash` of the run whose weights the training began with."""


@dataclass(frozen=True)
class Run:
    """The result of `load_run`: the model in evaluation mode on the CPU, with its settings and vocabularies."""

    model: BST
    config: RunConfig
    vocabularies: Vocabularies
    heldout: Heldout
    metrics: tuple[dict[str, Any], ...]

    def folded(self) -> Run:
        """Give the same run without item features, which scores as this one does: they are added to its tables."""
        model, config = fold_fields(self.model, self.config.model)
        if model is self.model:
            return self
        vocabularies = replace(self.vocabularies, item_features={})
        run_config = self.config.model_copy(update={"model": config})
        return replace(self, model=model, config=run_config, vocabularies=vocabularies)

    @property
    def epochs(self) -> tuple[dict[str, Any], ...]:
        """The metrics of each epoch."""
        return tuple(line for line in self.metrics if "epoch" in line)

    @property
    def quality(self) -> dict[str, Any] | None:
        """The test metrics of the best epoch, as `bst.run.quality.Quality.to_dict` has them, once they are measured."""
        return next((line["test"] for line in self.metrics if "test" in line), None)


def save_run(path: Path, run: Run) -> None:
    """Write `run` as the folder `path`, whole or not at all.

    Raises:
        InputError: the path exists or cannot be written.
    """
    with staged_run(path, run.config, run.vocabularies, run.heldout) as stage:
        save_weights(stage, run.model)
        save_metrics(stage, run.metrics)


@contextmanager
def staged_run(path: Path, config: RunConfig, vocabularies: Vocabularies, heldout: Heldout) -> Iterator[Path]:
    """Yield a folder that holds the constant files of a run, and becomes `path` when the block ends well.

    Raises:
        InputError: the path exists or cannot be written.
    """
    with staged_folder(path, "the run") as stage:
        write_atomically(stage / "config.json", to_json(config.model_dump(mode="json")))
        write_vocabularies(stage, vocabularies)
        write_heldout(stage, heldout)
        yield stage


def save_weights(path: Path, model: BST) -> None:
    """Replace the weights of the run at `path`, atomically."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_atomically(path / WEIGHTS_FILE, safetensors.torch.save(state))


def save_metrics(path: Path, metrics: tuple[dict[str, Any], ...]) -> None:
    """Replace the metrics of the run at `path`, atomically."""
    write_atomically(path / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in metrics))


def load_run(path: Path | str) -> Run:
    """Read a run.

    Raises:
        InputError: the folder is not a run, is of a later schema, or a file in it is missing, cut short or does not
            fit the others; the message names the file.
    """
    path = Path(path)
    config = read_run_config(path)
    model = load_weights(path, config.model)
    vocabularies = _read_vocabularies(path, config.model)
    heldout = read_heldout(path, config.model)
    try:
        metrics = tuple(parse_json(line) for line in read_text(path / "metrics.jsonl").splitlines())
    except (OSError, ValueError) as error:
        raise InputError(f"{path / 'metrics.jsonl'} cannot be read: {error}") from None
    return Run(model, config, vocabularies, heldout, metrics)


def read_run_config(path: Path) -> RunConfig:
    """Read the settings of a run; raises as `load_run` does."""
    if not path.is_dir():
        raise InputError(f"{path} is not {WHAT}: there is no such folder")
    values = read_json(path / "config.json", WHAT)
    schema_version = values.get("schema_version") if isinstance(values, dict) else None
    if schema_version == 1:
        values = _with_batches_of_events(values)
    elif schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version={schema_version!r}, this version reads {SCHEMA_VERSION}; update or train again"
        )
    if isinstance(values.get("training"), dict):  # before there was this setting, windows had nothing in common
        values["training"].setdefault("overlap", 0.0)
    return validated(RunConfig, values, str(path / "config.json"))


def _with_batches_of_events(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run of schema 1, which counted batches in windows, as those of schema 2."""
    try:
        training = dict(values["training"])
        training["batch_events"] = training.pop("batch_size") * values["model"]["max_length"]
    except (KeyError, TypeError, ValueError):
        return values  # what is wrong is said where all values are validated
    return {**values, "schema_version": SCHEMA_VERSION, "training": training}


def load_weights(path: Path, config: BSTConfig) -> BST:
    """Build the model of a run with its best weights, mapped from the file, in evaluation mode.

    Raises as `load_run` does.
    """
    if not (path / WEIGHTS_FILE).exists() and (path / STATE_FILE).exists():
        raise InputError(f"{path} has no {WEIGHTS_FILE} yet: its first epoch was not finished; go on with --resume")
    return read_weights(path / WEIGHTS_FILE, config)


def read_weights(
    file: Path, config: BSTConfig, *, what: str = WHAT, stated_in: str = "config.json", again: str = "train again"
) -> BST:
    """Build the model that `config` describes with the weights in `file`, mapped from it, in evaluation mode.

    Args:
        what, stated_in, again: for messages: the kind of the file's folder, the file of it that holds the config, and
            the remedy.

    Raises:
        InputError: the file is missing, cut short or damaged, or holds other weights; memory cannot hold the model.
    """
    needed, size = config.stored_bytes, file.stat().st_size if file.is_file() else None
    if size is not None and needed > size:  # an absurd config is refused before anything is allocated
        raise InputError(
            f"{file} is damaged or cut short: it has {size:,} bytes, and {stated_in} describes {needed:,}; "
            f"restore it or {again}"
        )
    config.require_memory(0)
    with unfilled():
        model = make_model(config)
    weights = read_tensors(file, what, again)
    if offences := _misfits(model, weights) or _unknown_categories(config, weights):
        raise InputError(f"{file} does not fit {stated_in}: {'; '.join(offences)}")
    # All tensors are views of one mapped file. Small ones are copied: torch's exporters keep some of them.
    own = {name: tensor.clone() if tensor.nbytes < MAPPED_BYTES else tensor for name, tensor in weights.items()}
    model.load_state_dict(own, assign=True)
    return model.eval()


def run_hash(path: Path) -> str:
    """Compute the sha256 over the files of a run that decide its answers, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name in ("config.json", WEIGHTS_FILE, VOCABULARY_FILE):
        with (path / name).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def library_versions(*others: str) -> dict[str, str]:
    """Return the versions of Python, of this package and its base, and of `others`."""
    versions = {name: version(name) for name in ("torch", "numpy", *others)}
    return {"python": platform.python_version(), "bst": __version__, **versions}


def read_vocabularies(folder: Path, what: str) -> Vocabularies:
    """Read `vocabulary.json` of a run or bundle.

    Raises:
        InputError: the file is missing or damaged; the message names it.
    """
    path = folder / VOCABULARY_FILE
    try:
        return Vocabularies.from_dict(read_json(path, what, DATA_BYTES))
    except InputError as error:
        raise InputError(f"{path}: {error}" if str(path) not in str(error) else str(error)) from None


def write_vocabularies(folder: Path, vocabularies: Vocabularies) -> None:
    # One id a line would be prettier and ten times slower to read.
    write_atomically(folder / VOCABULARY_FILE, json.dumps(vocabularies.to_dict(), ensure_ascii=False))


def _read_vocabularies(path: Path, config: BSTConfig) -> Vocabularies:
    vocabularies = read_vocabularies(path, WHAT)
    names = ("context", *OPTIONAL)
    sizes = [(name, len(ids)) for part in names for name, ids in getattr(vocabularies, part).items()]
    of_config = {"events": "event_features"}  # a part of another name there
    features = [feature for part in names for feature in getattr(config, of_config.get(part, part))]
    expected = [(feature.name, feature.num_categories) for feature in features]
    if len(vocabularies.items) != config.num_items or sizes != expected:
        raise InputError(
            f"{path}: vocabulary.json holds {len(vocabularies.items)} items and {dict(sizes)}, "
            f"config.json says {config.num_items} and {dict(expected)}; the files are not of one run"
        )
    return vocabularies


def _unknown_categories(config: BSTConfig, weights: dict[str, Tensor]) -> list[str]:
    values = [weights[f"item_features.values_{number}"] for number in range(len(config.item_features))]
    return [
        f"items have categories beyond the {feature.num_categories} of {feature.name}"
        for feature, rows in zip(config.item_features, values, strict=True)
        if rows.min() < 0 or rows.max() > feature.num_categories
    ]


def _misfits(model: BST, weights: dict[str, Tensor]) -> list[str]:
    """List the weights that are missing, too many, of another type or shape, or not finite."""
    expected = model.state_dict()
    offences = [f"{name} is missing" for name in expected if name not in weights]
    offences += [f"{name} is not part of the model" for name in weights if name not in expected]
    offences += [
        f"{name} is {weights[name].dtype} {list(weights[name].shape)}, not {tensor.dtype} {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and (weights[name].shape != tensor.shape or weights[name].dtype != tensor.dtype)
    ]
    # Minimum and maximum propagate NaN and inf; a mask of all elements of gigabytes would not fit into memory.
    floats = {name: tensor for name, tensor in weights.items() if tensor.dtype == torch.float32 and tensor.numel()}
    extremes = {name: torch.stack(torch.aminmax(tensor)) for name, tensor in floats.items()}
    return offences + [f"{name} holds NaN or inf" for name, pair in extremes.items() if not torch.isfinite(pair).all()]
