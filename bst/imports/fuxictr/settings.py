"""The settings of a BST of FuxiCTR, and what the dataset decides of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bst.errors import InputError
from bst.imports.fuxictr.experiment import DATASET_CONFIG, Experiment
from bst.imports.fuxictr.features import Feature
from bst.imports.rankers.account import Account
from bst.imports.rankers.ids import shown
from bst.imports.rankers.ranker import NumberField

POOLINGS = ("mean", "sum", "target")
DEFAULT_UNITS = [256, 128, 64]


@dataclass(frozen=True)
class Settings:
    """Settings that no tensor decides, and those that the tensors must fit."""

    num_heads: int
    blocks: int
    units: list[int]
    activations: Any
    layer_norm: bool
    residual: bool
    positions: bool
    causal: bool
    pooling: str
    batch_norm: bool


def read_settings(experiment: Experiment, account: Account) -> Settings:
    """Read the settings of the model, with the defaults of the library's class."""

    def read(name: str, default: Any, *kinds: type) -> Any:
        return experiment.setting(name, kinds, default, account)

    if (model := experiment.settings.get("model", "BST")) != "BST":
        account.offences.append(f"{experiment.name} is a model {shown(model)}, not BST")
    pooling = read("seq_pooling_type", "mean", str)
    if pooling not in POOLINGS:
        account.offences.append(f"seq_pooling_type={pooling} cannot be carried; known: {', '.join(POOLINGS)}")
    heads = read("num_heads", 2, int)
    if heads < 1:
        account.offences.append(f"num_heads={heads} is no number of heads")
    units = read("dnn_hidden_units", DEFAULT_UNITS, list)
    return Settings(
        num_heads=max(1, heads),
        blocks=read("stacked_transformer_layers", 1, int),
        units=units,
        activations=read("dnn_activations", "ReLU", str, list, type(None)),
        layer_norm=read("layer_norm", True, bool),
        residual=read("use_residual", True, bool),
        positions=read("use_position_emb", True, bool),
        causal=read("use_causal_mask", False, bool),
        pooling=pooling,
        batch_norm=read("batch_norm", False, bool),
    )


def read_length(sequences: Mapping[str, Feature], account: Account) -> tuple[int, str]:
    """Return the padded length of the histories and the side of their padding, `pre` or `post`."""
    lengths = {name: feature.number("max_len") for name, feature in sequences.items()}
    sides = {name: feature.column.get("padding", "post") for name, feature in sequences.items()}
    length, side = next(iter(lengths.values())), next(iter(sides.values()))
    if len(set(lengths.values())) > 1 or length < 1:
        account.offences.append(f"the sequences have the lengths {lengths}; they must have one length, from 1 up")
    if len(set(map(str, sides.values()))) > 1:
        account.offences.append(f"the sequences are padded on different sides ({sides}), so their events do not meet")
    elif side not in ("pre", "post"):
        account.offences.append(f"padding={shown(side)} of {', '.join(sides)}; known: pre, post")
    account.offences += [
        f"{name} is no column of {DATASET_CONFIG}.yaml, so the side of its padding is not known"
        for name, feature in sequences.items()
        if not feature.column
    ]
    source = f"{DATASET_CONFIG}.yaml" if any("padding" in each.column for each in sequences.values()) else "the default"
    names = ", ".join(sequences)
    account.setting(f"max_len of {names}", length, "feature_map.json")
    account.setting(f"padding of {names}", side, source)
    return length, str(side)


def read_numbers(
    features: Mapping[str, Feature], normalisers: Mapping[str, tuple[float, float]], account: Account
) -> tuple[NumberField, ...]:
    """Read the numbers, with the normalisers that the caller gives: they are in the library's pickle alone."""
    numbers = []
    for name, feature in features.items():
        if feature.type != "numeric":
            continue
        kind = feature.column.get("normalizer")
        if kind and name not in normalisers:
            account.offences.append(
                f"{name} has the normalizer {shown(kind)}, whose numbers are in feature_processor.pkl alone, which is "
                f"never opened; give --normaliser {name}=MEAN:SCALE, of a MinMaxScaler its data_min_ and data_range_"
            )
        mean, scale = normalisers.get(name, (0.0, 1.0))
        fill = feature.column.get("fill_na", 0.0)
        fill = float(fill) if isinstance(fill, int | float) and math.isfinite(fill) else 0.0
        numbers.append(NumberField(name, mean, scale, fill))
        if kind:
            account.setting(f"normalizer of {name}", f"{mean:g}:{scale:g}", "--normaliser")
        account.remark(
            f"`{name}` counts as {fill:g} where it is missing or NaN, as an empty field of the library's csv."
        )
    for name in normalisers:
        if name not in features or not features[name].column.get("normalizer"):
            account.offences.append(f"--normaliser {name}: there is no number of that name with a normalizer")
    return tuple(numbers)


def parse_normaliser(text: str) -> tuple[str, tuple[float, float]]:
    """Read `NAME=MEAN:SCALE`.

    Raises:
        InputError: it is something else, or the scale is not above 0.
    """
    name, _, values = text.partition("=")
    try:
        mean, scale = map(float, values.split(":"))
    except ValueError:
        raise InputError(f"--normaliser {text!r} is not NAME=MEAN:SCALE, such as price=12.5:3.1") from None
    if not name or not (math.isfinite(mean) and math.isfinite(scale) and scale > 0):
        raise InputError(f"--normaliser {text!r} needs a name, a finite mean and a scale above 0")
    return name, (mean, scale)
