"""A trainable Behaviour Sequence Transformer: data, model, training, and the run that it leaves behind."""

from bst.checkpoint import Run, load_run, save_run
from bst.config import Architecture, BSTConfig, ContextFeature, DataConfig, Settings, TrainConfig
from bst.data import Interactions, read_interactions
from bst.errors import CheckError, InputError
from bst.metrics import RankingMetrics, evaluate
from bst.model import BST
from bst.sequences import Sequences, to_sequences
from bst.split import leave_one_out
from bst.trainer import Trainer
from bst.training import Dataset, train
from bst.validation import read_settings
from bst.vocabulary import Vocabularies, Vocabulary

__all__ = [
    "BST",
    "Architecture",
    "BSTConfig",
    "CheckError",
    "ContextFeature",
    "DataConfig",
    "Dataset",
    "InputError",
    "Interactions",
    "RankingMetrics",
    "Run",
    "Sequences",
    "Settings",
    "TrainConfig",
    "Trainer",
    "Vocabularies",
    "Vocabulary",
    "evaluate",
    "leave_one_out",
    "load_run",
    "read_interactions",
    "read_settings",
    "save_run",
    "to_sequences",
    "train",
]
