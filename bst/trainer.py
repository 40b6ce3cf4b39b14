"""The training loop: all prefixes of all histories against the full catalogue, best epoch kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bst.config import TrainConfig
from bst.errors import CheckError, InputError
from bst.metrics import RankingMetrics, evaluate
from bst.model import BST
from bst.sequences import Batch, Examples, TrainingWindows

Progress = Callable[[Iterable[int], int], Iterable[int]]


@dataclass(frozen=True)
class EpochReport:
    """One epoch in numbers.

    Attributes:
        epoch: from 1.
        loss: mean cross-entropy in nats over all training examples, dropout active.
        rows_per_s: training examples (one prediction each) a second, data cutting included, validation not.
        gradient_norm: mean over steps of the total norm before clipping.
        learning_rate: at the end of the epoch.
        validation: full-ranking metrics on the validation targets.
        best: whether no epoch before had a higher NDCG@10.
    """

    epoch: int
    loss: float
    rows_per_s: float
    gradient_norm: float
    learning_rate: float
    validation: RankingMetrics
    best: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Trainer:
    """Trains `model` in place; `fit` is the whole of it, `epoch` one pass.

    Args:
        model: moved to `device`.
        windows: what is learnt from.
        validation: what decides which epoch is the best.
        device: as torch names it, `cpu` or `cuda`.
        progress: wraps the step numbers of an epoch, to show how far it is.
    """

    def __init__(
        self,
        model: BST,
        windows: TrainingWindows,
        validation: Examples,
        config: TrainConfig,
        *,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> None:
        if not windows.num_examples or not len(validation):
            raise InputError(
                f"{windows.num_examples} training examples and {len(validation)} users to validate on; "
                "training needs users with three events or more"
            )
        self.model = model.to(device)
        self.windows, self.validation, self.config, self.device = windows, validation, config, device
        self.progress: Progress = progress or (lambda steps, total: steps)
        self.rng = np.random.default_rng(config.seed)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.steps_per_epoch = -(-windows.num_windows // config.batch_size)
        self.scheduler = _scheduler(self.optimizer, config, self.steps_per_epoch)
        self.reports: list[EpochReport] = []

    def fit(self, on_epoch: Callable[[EpochReport], None] = lambda report: None) -> RankingMetrics:
        """Train `config.epochs` epochs and leave the best weights in the model.

        Calls `on_epoch` after each, while the model holds that epoch's weights. Returns the best epoch's validation
        metrics.

        Raises:
            CheckError: the loss became NaN or infinite; the weights are those of the best epoch before.
        """
        best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        try:
            for _ in range(self.config.epochs):
                report = self.epoch()
                if report.best:
                    best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
                on_epoch(report)
        finally:
            self.model.load_state_dict(best)
            self.model.eval()
        return max((report.validation for report in self.reports), key=lambda metrics: metrics.ndcg_10)

    def epoch(self) -> EpochReport:
        """Pass over every training example once, then validate. See `fit` for what raises."""
        self.model.train()
        drawn = self.windows.epoch(self.rng)
        total_loss, rows, norms = 0.0, 0, []
        started = time.perf_counter()
        for step in self.progress(range(self.steps_per_epoch), self.steps_per_epoch):
            chosen = slice(step * self.config.batch_size, (step + 1) * self.config.batch_size)
            loss, count, norm = self._step(self.windows.batch(*(part[chosen] for part in drawn)))
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise CheckError(
                    f"the loss is {loss} and the gradient norm {norm} in step {step + 1} of epoch "
                    f"{len(self.reports) + 1}; the best weights before are kept; "
                    f"lower learning_rate={self.config.learning_rate}"
                )
            total_loss, rows = total_loss + loss * count, rows + count
            norms.append(norm)
        seconds = time.perf_counter() - started
        metrics = evaluate(
            self.model,
            self.validation,
            self.windows.max_length,
            filter_seen=self.config.filter_seen,
            device=self.device,
        )
        report = EpochReport(
            epoch=len(self.reports) + 1,
            loss=total_loss / rows,
            rows_per_s=rows / seconds,
            gradient_norm=float(np.mean(norms)),
            learning_rate=float(self.scheduler.get_last_lr()[0]),
            validation=metrics,
            best=all(metrics.ndcg_10 > earlier.validation.ndcg_10 for earlier in self.reports),
        )
        self.reports.append(report)
        return report

    def _step(self, batch: Batch) -> tuple[float, int, float]:
        items, context, targets = (part.to(self.device) for part in (batch.items, batch.context, batch.targets))
        loss, count = prefix_loss(self.model, items, context, targets)
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm or math.inf)
        self.optimizer.step()
        self.scheduler.step()
        return loss.item(), count, norm.item()


def prefix_loss(model: BST, items: Tensor, context: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Mean cross-entropy (nats) of the full softmax over all prefixes of a training batch, and how many there are.

    `items` and `targets` are int64 `[batch, length]`, `context` int64 `[batch, length, num_context]`; slots whose
    target is 0 do not count.
    """
    wanted = targets > 0
    vectors = model.prefix_vectors(items, context)[wanted]
    return F.cross_entropy(model.item_scores(vectors), targets[wanted] - 1), int(wanted.sum())


def _scheduler(
    optimizer: torch.optim.Optimizer, config: TrainConfig, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    lr = torch.optim.lr_scheduler
    total = config.epochs * steps_per_epoch
    warmup = min(config.warmup_steps, total // 2)
    main: lr.LRScheduler
    if config.schedule == "cosine":
        main = lr.CosineAnnealingLR(optimizer, T_max=max(total - warmup, 1))
    elif config.schedule == "multistep":
        steps = [max(epoch * steps_per_epoch - warmup, 1) for epoch in config.milestones]
        main = lr.MultiStepLR(optimizer, milestones=steps, gamma=config.gamma)
    else:
        main = lr.ConstantLR(optimizer, factor=1.0)
    if not warmup:
        return main
    return lr.SequentialLR(
        optimizer, [lr.LinearLR(optimizer, start_factor=1.0 / (warmup + 1), total_iters=warmup), main], [warmup]
    )
