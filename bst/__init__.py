"""A trainable Behaviour Sequence Transformer: data, model, training, and the run that it leaves behind."""

__version__ = "0.2.0"  # that of the distribution `bst-recommender` and of the packages in clients/

from bst.config import Architecture, BSTConfig, ContextFeature, DataConfig, Settings, TrainConfig
from bst.data.interactions import Interactions, read_interactions
from bst.data.sequences import Sequences, to_sequences
from bst.data.split import leave_one_out
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.errors import CheckError, InputError
from bst.model import BST
from bst.run.dataset import Dataset
from bst.run.folder import Run, load_run, save_run
from bst.run.pipeline import train
from bst.settings_file import read_settings
from bst.training.metrics import RankingMetrics, evaluate
from bst.training.trainer import Trainer

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
    "__version__",
    "evaluate",
    "leave_one_out",
    "load_run",
    "read_interactions",
    "read_settings",
    "save_run",
    "to_sequences",
    "train",
]
