"""Training: the search for the weights, in one process or several."""

from bst.training.metrics import RankingMetrics, evaluate
from bst.training.state import TrainingState
from bst.training.trainer import EpochReport, Trainer
from bst.training.world import World, joined_world

__all__ = ["EpochReport", "RankingMetrics", "Trainer", "TrainingState", "World", "evaluate", "joined_world"]
