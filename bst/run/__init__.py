"""The run: the folder that training leaves, and how it comes to be."""

from bst.run.folder import (
    SCHEMA_VERSION,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    Heldout,
    Run,
    RunConfig,
    library_versions,
    load_run,
    read_run_config,
    read_vocabularies,
    read_weights,
    run_hash,
    save_run,
    write_vocabularies,
)
from bst.run.learning_curve import draw_learning_curve
from bst.run.pipeline import Dataset, TrainingResult, model_config, train

__all__ = [
    "SCHEMA_VERSION",
    "VOCABULARY_FILE",
    "WEIGHTS_FILE",
    "Dataset",
    "Heldout",
    "Run",
    "RunConfig",
    "TrainingResult",
    "draw_learning_curve",
    "library_versions",
    "load_run",
    "model_config",
    "read_run_config",
    "read_vocabularies",
    "read_weights",
    "run_hash",
    "save_run",
    "train",
    "write_vocabularies",
]
