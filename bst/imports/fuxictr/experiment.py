"""The experiment of a folder of FuxiCTR: its weights, its settings, and the files of its dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bst.errors import InputError
from bst.imports.rankers.account import Account
from bst.imports.rankers.files import read_json_file, read_yaml_file
from bst.imports.rankers.ids import shown
from bst.system.plain_tensors import read_plain_tensors

BASE = "Base"
MODEL_CONFIG, DATASET_CONFIG = "model_config", "dataset_config"
MAP_FILE, VOCABULARY_FILE = "feature_map.json", "feature_vocab.json"


@dataclass(frozen=True)
class Experiment:
    """What a folder has of an experiment.

    Attributes:
        name: of the experiment.
        weights: the file of its weights.
        feature_map: the content of `feature_map.json`.
        vocabulary: the path of `feature_vocab.json`.
        columns: the columns of `dataset_config.yaml` by name; None where it has no columns.
        settings: `Base`, overruled by the experiment, overruled by the dataset, as the library reads them.
        sources: where each setting comes from.
    """

    name: str
    weights: Path
    feature_map: Any
    vocabulary: Path
    columns: Mapping[str, Mapping[str, Any]] | None
    settings: Mapping[str, Any]
    sources: Mapping[str, str]

    def setting(self, name: str, kinds: tuple[type, ...], default: Any, account: Account) -> Any:
        """Return a setting, and note where it comes from. One of another kind is an offence."""
        value = self.settings.get(name, default)
        account.setting(name, value, self.sources.get(name, "the library's default"))
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            account.offences.append(f"{name}: {shown(value)} is no value of this setting")
            return default
        return value

    def listed(self, name: str, account: Account) -> Sequence[Any]:
        """Return a setting that is a list, or nothing. One of another kind is an offence."""
        value = self.settings.get(name)
        if value and not isinstance(value, list | tuple):
            account.offences.append(f"{name}: {shown(value)} is no list")
            return ()
        return value or ()


def read_experiment(folder: Path, name: str | None) -> Experiment:
    """Find the files of an experiment in a folder or below it, and read its settings.

    Args:
        name: of the experiment; None where the weights' name tells it.

    Raises:
        InputError: a file is missing, or two would do; the message says which, and what to do.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give the one with the weights and the files of FuxiCTR")
    weights = _found(folder, "*.model")
    configs = _configs(folder, MODEL_CONFIG)
    missing = [file for file, paths in (("*.model", weights), (f"{MODEL_CONFIG}.yaml", configs)) if not paths]
    missing += [f"{DATASET_CONFIG}.yaml"] * (not _configs(folder, DATASET_CONFIG))
    missing += [file for file in (MAP_FILE, VOCABULARY_FILE) if not _found(folder, file)]
    if missing:
        raise InputError(
            f"{folder} has no {', '.join(missing)}; copy them there: the weights from model_root, {MAP_FILE} and "
            f"{VOCABULARY_FILE} from data_root/dataset_id, the others from the folder of --config"
        )
    tables = [(path, read_yaml_file(path)) for path in configs]
    experiments = {key: (path, value) for path, table in tables for key, value in table.items() if key != BASE}
    base: dict[str, Any] = next((table[BASE] for _, table in tables if isinstance(table.get(BASE), dict)), {})
    name, file = _chosen(folder, weights, experiments, name)
    path, own = experiments[name]
    if not isinstance(own, dict):
        raise InputError(f"{path}: the experiment {name} is no table of settings")
    return _with_dataset(folder, name, file, {BASE: base, name: own})


def _with_dataset(folder: Path, name: str, weights: Path, tables: Mapping[str, Mapping[str, Any]]) -> Experiment:
    """Add the files of the dataset that an experiment names."""
    settings = {key: value for table in tables.values() for key, value in table.items()}
    sources = {key: f"{MODEL_CONFIG}.yaml, {part}" for part, table in tables.items() for key in table}
    datasets = {key: value for path in _configs(folder, DATASET_CONFIG) for key, value in read_yaml_file(path).items()}
    maps = {path: read_json_file(path) for path in _found(folder, MAP_FILE)}
    dataset = settings.get("dataset_id")
    dataset = next(iter(datasets)) if dataset is None and len(datasets) == 1 else str(dataset)
    if dataset not in datasets or not isinstance(datasets[dataset], dict):
        names = ", ".join(datasets) or "none"
        raise InputError(f"{DATASET_CONFIG}.yaml has no dataset {dataset}, which {name} names; it has {names}")
    fitting = [path for path, table in maps.items() if isinstance(table, dict) and table.get("dataset_id") == dataset]
    fitting = fitting or (list(maps) if len(maps) == 1 else [])
    if len(fitting) != 1:
        raise InputError(
            f"{folder} has {len(fitting)} {MAP_FILE} of the dataset {dataset}; leave the one of the training"
        )
    vocabularies = _found(folder, VOCABULARY_FILE)
    beside = [path for path in vocabularies if path.parent == fitting[0].parent] or vocabularies
    if len(beside) != 1:
        raise InputError(f"{folder} has {len(beside)} {VOCABULARY_FILE}; leave the one beside {fitting[0]}")
    own = datasets[dataset]
    sources |= dict.fromkeys(own, f"{DATASET_CONFIG}.yaml")
    columns = _columns(own.get("feature_cols"))
    return Experiment(name, weights, maps[fitting[0]], beside[0], columns, {**settings, **own}, sources)


def open_account(experiment: Experiment) -> Account:
    """Read the weights.

    Raises:
        InputError: they hold anything but tensors.
    """
    return Account(read_plain_tensors(experiment.weights), str(experiment.weights))


def _chosen(
    folder: Path, weights: Sequence[Path], experiments: Mapping[str, Any], name: str | None
) -> tuple[str, Path]:
    """Choose the experiment and its weights: `name`, or the one whose name the weights have."""
    listed = ", ".join(sorted(experiments)) or "none"
    if name is not None and name not in experiments:
        raise InputError(f"--experiment {name} is not in {MODEL_CONFIG}.yaml of {folder}; known: {listed}")
    by_name = {path.stem: path for path in weights}
    fitting = [stem for stem in by_name if stem in experiments] if name is None else [name]
    if not fitting and len(experiments) == 1:
        fitting = list(experiments)
    if len(fitting) != 1:
        files = ", ".join(path.name for path in weights)
        raise InputError(
            f"{folder} has the weights {files} and the experiments {listed}, of which {len(fitting)} have weights of "
            "their name; choose one with --experiment"
        )
    chosen = fitting[0]
    if chosen in by_name and sum(path.stem == chosen for path in weights) == 1:
        return chosen, by_name[chosen]
    if len(weights) == 1:
        return chosen, weights[0]
    files = ", ".join(str(path.relative_to(folder)) for path in weights)
    raise InputError(f"{folder} has the weights {files}; leave those of {chosen} alone")


def _columns(listed: Any) -> dict[str, Mapping[str, Any]] | None:
    """Read the columns of a dataset by name; one entry may name several."""
    if not isinstance(listed, list | tuple):
        return None
    columns: dict[str, Mapping[str, Any]] = {}
    for column in listed:
        names = column.get("name") if isinstance(column, dict) else None
        for name in names if isinstance(names, list | tuple) else [names]:
            columns[str(name)] = column if isinstance(column, dict) else {}
    return columns


def _found(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.rglob(pattern) if path.is_file())


def _configs(folder: Path, name: str) -> list[Path]:
    """Find a config, which is a file, or a folder of files."""
    files = [path for suffix in ("yaml", "yml") for path in _found(folder, f"{name}.{suffix}")]
    return files or [path for path in _found(folder, "*.y*ml") if path.parent.name == name]
