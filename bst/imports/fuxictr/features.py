"""The features of an experiment of FuxiCTR, changed and ordered as its settings say, and the fields of its BST."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bst.errors import InputError
from bst.imports.fuxictr.experiment import DATASET_CONFIG, MAP_FILE, Experiment
from bst.imports.rankers.account import Account
from bst.imports.rankers.ids import shown

LINEAR = re.compile(
    r"\s*(?:torch\.)?nn\.Linear\(\s*(?:in_features\s*=\s*)?(\d{1,6})\s*,\s*(?:out_features\s*=\s*)?(\d{1,6})\s*,"
    r"\s*bias\s*=\s*False\s*,?\s*\)\s*"
)
NOTHING = (None, "", "null", "None", "none")
DEFAULT_TARGET, DEFAULT_SEQUENCE = [("item_id", "cate_id")], [("click_history", "cate_history")]


# The fields of the target, and those of its sequence, in the order of their columns.
FieldsOfPair = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Feature:
    """A feature of the map.

    Attributes:
        spec: what the map says of it, with the changes of `feature_specs`.
        column: what `dataset_config.yaml` says of it.
    """

    name: str
    spec: Mapping[str, Any]
    column: Mapping[str, Any]

    @property
    def type(self) -> str:
        return str(self.spec.get("type"))

    @property
    def encoders(self) -> list[tuple[int, int]]:
        """The widths of the linear layers behind the table, from the first on."""
        encoder = self.spec.get("feature_encoder")
        parts = encoder if isinstance(encoder, list | tuple) else [] if encoder in NOTHING else [encoder]
        matches = [LINEAR.fullmatch(str(part)) for part in parts]
        return [(int(match[1]), int(match[2])) for match in matches if match]

    @property
    def is_list_of_encoders(self) -> bool:
        return isinstance(self.spec.get("feature_encoder"), list | tuple)

    def number(self, key: str) -> int:
        """Return a size that the map states, 0 where it does not."""
        value = self.spec.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0


def read_features(experiment: Experiment, account: Account) -> dict[str, Feature]:
    """Return the features that the model reads, in the order in which it was built.

    Raises:
        InputError: the map is none.
    """
    listed = experiment.feature_map.get("features") if isinstance(experiment.feature_map, dict) else None
    specs = {
        str(name): dict(spec)
        for part in (listed if isinstance(listed, list) else [listed])
        if isinstance(part, dict)
        for name, spec in part.items()
        if isinstance(spec, dict)
    }
    if not specs:
        raise InputError(f"{MAP_FILE} of {experiment.name} has no features")
    if used := experiment.listed("use_features", account):
        names = [str(name) for name in used]
        account.setting("use_features", ", ".join(names), experiment.sources["use_features"])
        account.offences += [f"use_features has {name}, which {MAP_FILE} lacks" for name in names if name not in specs]
        specs = {name: specs[name] for name in names if name in specs}
    if experiment.settings.get("feature_config"):
        account.offences.append("feature_config is no setting that is known; say it as feature_specs")
    for change in experiment.listed("feature_specs", account):
        named = change.get("name") if isinstance(change, dict) else None
        for name in map(str, named if isinstance(named, list | tuple) else [named]):
            if name not in specs:
                account.offences.append(f"feature_specs has {name}, which is no feature that the model reads")
                continue
            own = {key: value for key, value in change.items() if key != "name"}
            specs[name].update(own)
            account.setting(f"feature_specs of {name}", ", ".join(map(str, own)), experiment.sources["feature_specs"])
    columns = experiment.columns or {}
    read = {name: spec for name, spec in specs.items() if spec.get("type") != "meta"}
    return {name: Feature(name, spec, columns.get(name, {})) for name, spec in read.items()}


def read_pairs(experiment: Experiment, features: Mapping[str, Feature], account: Account) -> list[FieldsOfPair]:
    """Return the fields of the target and of the sequence of each pair, in the order of their columns.

    Raises:
        InputError: there are more of one than of the other, or a field is no feature.
    """
    targets = _fields(experiment, "bst_target_field", DEFAULT_TARGET, account)
    sequences = _fields(experiment, "bst_sequence_field", DEFAULT_SEQUENCE, account)
    if len(targets) != len(sequences):
        account.offences.append(f"{len(targets)} target fields for {len(sequences)} sequences ({targets}, {sequences})")
    for target, sequence in zip(targets, sequences, strict=False):
        for name, kind in [(name, "categorical") for name in target] + [(name, "sequence") for name in sequence]:
            if name not in features:
                account.offences.append(f"the field {shown(name)} of the BST is no feature that the model reads")
            elif features[name].type != kind:
                account.offences.append(f"the field {name} of the BST is {features[name].type}, not {kind}")
        if len(target) != len(sequence):
            account.offences.append(f"{len(target)} target fields and {len(sequence)} sequences are no pair")
    listed = [name for sequence in sequences for name in sequence]
    account.offences += [
        f"the sequence {name} is there {listed.count(name)} times, and the library reads each once"
        for name in dict.fromkeys(listed)
        if listed.count(name) > 1
    ]
    account.require_sound()
    return list(zip(targets, sequences, strict=True))


def _fields(experiment: Experiment, name: str, default: Any, account: Account) -> list[tuple[str, ...]]:
    """Read a setting that is a name, a tuple of names, or a list of both."""
    value = experiment.settings.get(name, default)
    source = experiment.sources.get(name, "the library's default")
    parts = value if isinstance(value, list) else [value]
    pairs = [tuple(map(str, part)) if isinstance(part, list | tuple) else (str(part),) for part in parts]
    account.setting(name, "; ".join(", ".join(part) for part in pairs), source)
    if not pairs or not all(pairs):
        raise InputError(f"{name} of {experiment.name} names no field")
    return pairs


def table_owner(features: Mapping[str, Feature], name: str) -> str:
    """Return the feature whose table a feature shares, in the end."""
    seen = {name}
    while (shared := features[name].spec.get("share_embedding")) is not None:
        if str(shared) not in features or str(shared) in seen:
            return str(shared)
        name = str(shared)
        seen.add(name)
    return name


def require_known(
    features: Mapping[str, Feature], sequences: tuple[str, ...], experiment: Experiment, account: Account
) -> None:
    """Note features as offences that cannot be carried."""
    for name, feature in features.items():
        encoder = feature.spec.get("feature_encoder")
        parts = encoder if isinstance(encoder, list | tuple) else [] if encoder in NOTHING else [encoder]
        if feature.type == "sequence" and name not in sequences:
            account.offences.append(f"{name} is a pooled sequence beside the BST, which cannot be carried")
        elif feature.type not in ("categorical", "numeric", "sequence"):
            account.offences.append(f"{name} is of type {shown(feature.spec.get('type'))}, which cannot be carried")
        elif any("Pooling" in str(part) for part in parts):
            account.offences.append(
                f"{name} is pooled by {shown(encoder)} in {MAP_FILE}, and the BST reads it whole; add what training "
                f"had to the experiment: feature_specs: [{{name: {name}, feature_encoder: null}}]"
            )
        elif len(feature.encoders) != len(parts):
            account.offences.append(
                f"{name} has the encoder {shown(encoder)}; known: nn.Linear(a, b, bias=False), and none"
            )
        if "pretrained_emb" in feature.spec:
            usage = feature.spec.get("pretrain_usage", "init")
            account.offences.append(f"{name} has a pretrained embedding ({usage}), which cannot be carried")
        if feature.spec.get("category_processor") or feature.column.get("category_processor"):
            account.offences.append(f"{name} has a category_processor, whose rules are in the pickle alone")
        if feature.column.get("preprocess"):
            rule = shown(feature.column["preprocess"])
            account.remark(f"`{name}` is preprocessed by {rule} in training: give values as they are after it.")
    if experiment.columns is None:
        account.offences.append(
            f"{DATASET_CONFIG}.yaml has no feature_cols, so the side of the padding is not known; add the columns "
            "with `name`, and `padding: post` or `padding: pre` for sequences"
        )
