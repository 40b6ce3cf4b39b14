"""The run: the folder that training writes, and the pipeline that writes it."""

from bst.run.dataset import Dataset
from bst.run.folder import Run, RunConfig, load_run, save_run
from bst.run.heldout import Heldout
from bst.run.pipeline import TrainingResult, train
from bst.run.quality import Quality

__all__ = ["Dataset", "Heldout", "Quality", "Run", "RunConfig", "TrainingResult", "load_run", "save_run", "train"]
