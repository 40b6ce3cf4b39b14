"""Configuration: every setting, as frozen, validated values. A default is written here and nowhere else."""

from bst.config.architecture import Architecture
from bst.config.data import DataConfig
from bst.config.inputs import (
    EVENT_TIME,
    INPUT_GROUPS,
    NUMBER_BOUND,
    REQUEST_TIME,
    CandidateFeature,
    ContextFeature,
    EventFeature,
    InputGroup,
    Number,
)
from bst.config.model import FLOAT_BYTES, NUM_GAPS, BSTConfig, HeadActivation, ItemFeature, ItemNumber
from bst.config.presets import PRESETS, with_preset
from bst.config.sequences import ItemSequence
from bst.config.training import FULL_SOFTMAX_ITEMS, RETURNING, TrainConfig
from bst.config.values import INPUT_WORDS, SPARSE_EVENTS, Frozen, Table, is_plain_name

__all__ = [
    "EVENT_TIME",
    "FLOAT_BYTES",
    "FULL_SOFTMAX_ITEMS",
    "INPUT_GROUPS",
    "INPUT_WORDS",
    "NUMBER_BOUND",
    "NUM_GAPS",
    "PRESETS",
    "REQUEST_TIME",
    "RETURNING",
    "SPARSE_EVENTS",
    "Architecture",
    "BSTConfig",
    "CandidateFeature",
    "ContextFeature",
    "DataConfig",
    "EventFeature",
    "Frozen",
    "HeadActivation",
    "InputGroup",
    "ItemFeature",
    "ItemNumber",
    "ItemSequence",
    "Number",
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
