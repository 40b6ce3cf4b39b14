"""The run: the folder that training leaves, and how it comes to be."""

from bst.run.folder import Heldout, Run, RunConfig, load_run, save_run
from bst.run.pipeline import Dataset, TrainingResult, train

__all__ = ["Dataset", "Heldout", "Run", "RunConfig", "TrainingResult", "load_run", "save_run", "train"]
