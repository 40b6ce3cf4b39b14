"""Configuration: every setting, as frozen, validated values. A default is written here and nowhere else."""

from bst.config.data import DataConfig
from bst.config.model import FLOAT_BYTES, Architecture, BSTConfig, ContextFeature, ItemFeature
from bst.config.presets import PRESETS, with_preset
from bst.config.training import FULL_SOFTMAX_ITEMS, RETURNING, TrainConfig
from bst.config.values import INPUT_WORDS, Frozen, Table, is_plain_name

__all__ = [
    "FLOAT_BYTES",
    "FULL_SOFTMAX_ITEMS",
    "INPUT_WORDS",
    "PRESETS",
    "RETURNING",
    "Architecture",
    "BSTConfig",
    "ContextFeature",
    "DataConfig",
    "Frozen",
    "ItemFeature",
    "Settings",
    "Table",
    "TrainConfig",
    "is_plain_name",
    "with_preset",
]


class Settings(Frozen):
    """The content of a `train.toml`: the tables `[model]`, `[training]` and `[data]`, every key optional."""

    model: Architecture = Architecture()
    training: TrainConfig = TrainConfig()
    data: DataConfig = DataConfig()
