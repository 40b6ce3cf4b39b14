"""Data: tables of events become the rectangles that a model reads."""

from bst.data.batches import Batch, Examples
from bst.data.facts import TableFacts
from bst.data.interactions import Interactions, read_interactions
from bst.data.sequences import Sequences, fit_vocabularies, to_sequences
from bst.data.split import Split, leave_one_out, split_at
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.data.windows import TrainingWindows

__all__ = [
    "Batch",
    "Examples",
    "Interactions",
    "Sequences",
    "Split",
    "TableFacts",
    "TrainingWindows",
    "Vocabularies",
    "Vocabulary",
    "fit_vocabularies",
    "leave_one_out",
    "read_interactions",
    "split_at",
    "to_sequences",
]
