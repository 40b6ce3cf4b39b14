"""Quality as the manifest records it: of the run, by its task, and of the bundle's own `top_k`."""

from __future__ import annotations

from bst.config import Frozen


class OwnTopK(Frozen):
    """The metrics of a bundle's own `top_k`, called for every test user that travels with the run.

    Attributes:
        k: the number of items that are looked at: 10, or all if it returns fewer.
        users: the number of users.
        hr: share of them whose target is among the k.
        ndcg: mean of 1 / log2(1 + place), 0 where it is not.
    """

    k: int
    users: int
    hr: float
    ndcg: float


class Quality(Frozen):
    """The metrics of the model on held-out targets at training, beside those of counting alone.

    Attributes:
        model, popularity, markov: metrics of the model and its baselines by name, such as `hr_10`, and `num_users`.
        unseen: share of the targets whose item is not trained on.
        filter_seen: whether items of the history were left out of these rankings, unless the target is one of them.
        rule: which event of a user is the target.
        top_k: the metrics of the bundle's own `top_k`; None without that signature, or without test users in the run.
    """

    model: dict[str, float]
    popularity: dict[str, float]
    markov: dict[str, float]
    unseen: float
    filter_seen: bool
    rule: str
    top_k: OwnTopK | None = None


class ClickNumbers(Frozen):
    """Metrics of a click model or of a baseline: see `bst.training.click_metrics.ClickMetrics`."""

    auc: float
    grouped_auc: float
    log_loss: float | None = None
    calibration: tuple[tuple[float, float, int], ...]
    num_users: int
    num_candidates: int


class ClickQuality(Frozen):
    """The metrics of a click model at training: see `bst.run.quality.ClickQuality`."""

    model: ClickNumbers
    popularity: ClickNumbers
    markov: ClickNumbers
    base_rate_log_loss: float
    unseen: float
    negatives: str
    unknown: int
    rule: str
