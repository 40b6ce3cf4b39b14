"""Batch: all users of a shop scored from a bundle, a unit of rows at a time."""

from export.batch.scores import Summary, score_users
from export.batch.settings import ScoreSettings
from export.batch.verify import verify_scores

__all__ = ["ScoreSettings", "Summary", "score_users", "verify_scores"]
