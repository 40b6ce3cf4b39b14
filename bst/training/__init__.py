"""Training: the weights are found, in one process or several."""

from bst.training.metrics import RankingMetrics, evaluate
from bst.training.optimization import parameter_groups
from bst.training.state import TrainingState
from bst.training.trainer import EpochReport, Progress, Trainer, Weights
from bst.training.world import World, joined_world, require_device

__all__ = [
    "EpochReport",
    "Progress",
    "RankingMetrics",
    "Trainer",
    "TrainingState",
    "Weights",
    "World",
    "evaluate",
    "joined_world",
    "parameter_groups",
    "require_device",
]
