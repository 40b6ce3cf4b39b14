"""The training loop: all prefixes of all histories, in one process or several, resumable; the best epoch is kept."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict, TypeAdapter
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bst.config import TrainConfig
from bst.data.batches import Batch, Examples
from bst.data.impressions import Windows
from bst.errors import CheckError, InputError
from bst.model import BST
from bst.training.optimization import GradientClipper, optimizers_of, rate_of_step, take_rows
from bst.training.precision import precision_of
from bst.training.state import (
    TrainingState,
    optimizer_tensors,
    random_states,
    restore_optimizer,
    set_random_state,
)
from bst.training.task import TASKS, Metrics, Task
from bst.training.world import World

Progress = Callable[[Iterable[int], int], Iterable[int]]
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class EpochReport:
    """One epoch in numbers.

    Attributes:
        epoch: from 1.
        loss: mean cross-entropy in nats over all training examples, dropout active. Of a sampled softmax it is an
            estimate, on average a little below the full one. Of a click model it is binary.
        rows_per_s: training examples (one prediction each) a second, data cutting included, validation not.
        gradient_norm, gradient_norm_std: mean and standard deviation over steps of the total norm before clipping.
        clip_norm: the limit of that norm; None where clipping is off.
        learning_rate: of the last step.
        validation: metrics on the validation targets, those of the model's task.
        best: whether no epoch before had a higher headline, which is NDCG@10, or AUC of a click model.
    """

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)

    epoch: int
    loss: float
    rows_per_s: float
    gradient_norm: float
    gradient_norm_std: float
    clip_norm: float | None
    learning_rate: float
    validation: Metrics
    best: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the line of the epoch in `metrics.jsonl`."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "validation": self.validation.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any], task: Task) -> EpochReport:
        """Rebuild what `to_dict` gave, or raise a `ValueError`, `KeyError` or `TypeError`."""
        return TypeAdapter(cls).validate_python({**values, "validation": task.metrics(values["validation"])})


@dataclass
class Tally:
    """The current epoch so far: steps, examples, sum of their losses, seconds spent."""

    steps: int = 0
    rows: int = 0
    loss: float = 0.0
    seconds: float = 0.0


class Trainer:
    """Training of `model` in place; `fit` runs all of it, `epoch` one pass.

    It writes nothing: `moments` yields what a run keeps.

    On the CPU the same seed, data, settings, machine, number of threads and of processes give the same weights to the
    bit, with or without a `state` saved and restored on the way.

    Args:
        model: moved to the device of `world`.
        windows: the training examples; the same in every process.
        validation: the examples by which the best epoch is chosen.
        config: what it leaves open is chosen by the data (`TrainConfig.fitted`).
        world: the processes that share each batch; this one alone unless given.
        progress: wraps the step numbers of an epoch, to show how far it is.

    Raises:
        InputError: there is nothing to train on or to validate with, or a batch cannot be shared evenly.
    """

    def __init__(
        self,
        model: BST,
        windows: Windows,
        validation: Examples,
        config: TrainConfig,
        *,
        world: World | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.world = world or World()
        _require_trainable(windows, validation, config, self.world)
        self.model = model.to(self.world.device)
        self.task = TASKS.find(model.task)
        config, _ = self.task.fitted(config, model.item_embedding.num_embeddings - 1, windows.num_examples)
        self.windows, self.validation, self.config = windows, validation, config
        self.progress: Progress = progress or (lambda steps, total: steps)
        loss = self.task.loss(self.model, windows, config, self.world.device)
        self.by_row = loss.by_row
        # Dense gradients cost little on CUDA, and several processes average them.
        self.model.item_embedding.sparse = loss.reads_rows and self.world.size == 1 and self.world.device == "cpu"
        self.loss = self._wrapped(loss)
        self.precision, _ = precision_of(config, model.task, model.dim, self.world)
        self.optimizers = optimizers_of(model, config, self.by_row)
        self.clipper = GradientClipper(config)
        self.steps_per_epoch = windows.num_batches(config.batch_events)
        self.rows_per_step = windows.num_examples / self.steps_per_epoch
        self.reports: list[EpochReport] = []
        self.best = self._weights()
        self.rng = np.random.default_rng(config.seed)
        self.epoch_rng = self.rng.bit_generator.state
        self.tally = Tally()
        torch.manual_seed(config.seed + self.world.rank)  # one for all, and every process would drop the same units

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or `patience` is at its end."""
        if len(self.reports) >= self.config.epochs:
            return True
        last_best = max((report.epoch for report in self.reports if report.best), default=0)
        return self.config.patience is not None and len(self.reports) - last_best >= self.config.patience

    @property
    def best_metrics(self) -> Metrics:
        """The validation metrics of the best epoch so far."""
        return max((report.validation for report in self.reports), key=lambda metrics: metrics.headline)

    def fit(self) -> Metrics:
        """Train until `finished`; see `moments`. Returns the best epoch's validation metrics."""
        for _ in self.moments():
            pass
        return self.best_metrics

    def moments(self) -> Iterator[EpochReport | TrainingState]:
        """Train until `finished`, and leave the best weights in the model, however it ends.

        Yields the report of each epoch, while the model holds that epoch's weights, and then the state; and a state
        besides whenever `checkpoint_seconds` have passed.

        Raises:
            CheckError: the loss became NaN or infinite; the weights are those of the best epoch before.
        """
        try:
            while not self.finished:
                yield (yield from self._epoch())
                yield self.state()
        finally:
            self.model.item_embedding.sparse = False
            self.model.load_state_dict(self.best)
            self.model.eval()

    def epoch(self) -> EpochReport:
        """Train the rest of the current epoch, then validate. See `moments` for what raises."""
        steps = self._epoch()
        while True:
            try:
                next(steps)
            except StopIteration as ended:
                report: EpochReport = ended.value
                return report

    def _epoch(self) -> Generator[TrainingState, None, EpochReport]:
        self.model.train()
        self.rng.bit_generator.state = self.epoch_rng  # an epoch that was interrupted may have drawn from it
        config = self.config
        left_out, overlap = config.event_dropout or 0.0, config.overlap or 0.0
        batches = self.windows.epoch(self.rng, config.batch_events, left_out, overlap)
        started = saved = time.perf_counter()
        for step in self.progress(range(self.tally.steps, self.steps_per_epoch), self.steps_per_epoch):
            due = time.perf_counter() - saved >= self.config.checkpoint_seconds
            due = self._step(self.windows.batch(*batches[step]), step, due)
            now = time.perf_counter()
            self.tally.seconds, started = self.tally.seconds + now - started, now
            if due and step + 1 < self.steps_per_epoch:
                yield self.state()
                started = saved = time.perf_counter()
        return self._end_epoch()

    def state(self) -> TrainingState:
        """Return the state of this moment; all processes call it together, and each gets the whole."""
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for part, optimizer in self.optimizers.items():
            tensors |= {f"{part}.{name}": tensor for name, tensor in optimizer_tensors(optimizer).items()}
        for kind, random in random_states(self.world.device).items():
            tensors |= {
                f"random.{kind}.{rank}": random_state for rank, random_state in enumerate(self.world.gather(random))
            }
        tensors["gradient_norms"] = torch.tensor(self.clipper.norms, dtype=torch.float64)
        values = {
            "reports": [report.to_dict() for report in self.reports],
            "epoch_rng": self.epoch_rng,
            "tally": asdict(self.tally),
            "clip_value": self.clipper.value if math.isfinite(self.clipper.value) else None,  # JSON has no infinity
        }
        return TrainingState(tensors, values)

    def restore(self, state: TrainingState, best: Weights | None) -> None:
        """Restore the moment of `state`, taken from a trainer of the same settings; `best` are its best weights."""
        self.model.load_state_dict(state.part("model"))
        begun = state.tensors["gradient_norms"].numel() > 0
        for part, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, state.part(part), begun)
        self.best = best if best is not None else self.best
        for kind in random_states(self.world.device):
            mine = state.tensors.get(f"random.{kind}.{self.world.rank}")  # none where processes or device are others
            if mine is not None:
                set_random_state(kind, self.world.device, mine)
        self.reports = [EpochReport.from_dict(values, self.task) for values in state.values["reports"]]
        self.epoch_rng = self.rng.bit_generator.state = state.values["epoch_rng"]
        self.tally = TypeAdapter(Tally).validate_python(state.values["tally"])
        if not (0 <= self.tally.steps < self.steps_per_epoch and self.tally.seconds >= 0):
            raise ValueError(f"it is at step {self.tally.steps} of {self.steps_per_epoch}")
        clip_value = state.values["clip_value"]
        self.clipper.value = math.inf if clip_value is None else float(clip_value)
        self.clipper.norms = state.tensors["gradient_norms"].flatten().tolist()

    def _step(self, batch: Batch, step: int, due: bool) -> bool:
        """Train on one batch; return whether the first process says that a checkpoint is due."""
        rank, size, device = self.world.rank, self.world.size, self.world.device
        count = int((batch.targets > 0).sum())
        share = batch.share(device, rank, size)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            loss = self.loss(**share.examples)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        # By the mean size of a batch, not its own: every example weighs the same, in batches of short windows too. And
        # the gradients of several processes will be averaged.
        (loss * (size / self.rows_per_step)).backward()
        for table in self.by_row:
            take_rows(table)
        norm = self.clipper.clip(self.model.parameters())
        sums = self.world.sum(torch.stack((loss.detach(), loss.new_tensor(float(due and self.world.is_first)))))
        total, due = sums[0].item(), bool(sums[1].item())
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise CheckError(
                f"the loss is {total / max(count, 1)} and the gradient norm {norm} in step {step + 1} of epoch "
                f"{len(self.reports) + 1}; the best weights before are kept; "
                f"lower learning_rate={self.config.learning_rate}"
            )
        rate = self._rate(step)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate * group["initial_lr"]
            optimizer.step()
        self.tally.steps += 1
        self.tally.rows += count
        self.tally.loss += total
        return due

    def _end_epoch(self) -> EpochReport:
        metrics = self.task.evaluate(self.model, self.validation, self.windows, self.config, self.world)
        tally, self.tally = self.tally, Tally()
        norms = self.clipper.norms[-tally.steps :]
        report = EpochReport(
            epoch=len(self.reports) + 1,
            loss=tally.loss / max(tally.rows, 1),
            rows_per_s=tally.rows / tally.seconds,
            gradient_norm=float(np.mean(norms)),
            gradient_norm_std=float(np.std(norms)),
            clip_norm=None if self.config.clipping == "off" else self.clipper.value,
            learning_rate=self.optimizers["optimizer"].param_groups[0]["lr"],
            validation=metrics,
            best=all(metrics.headline > earlier.validation.headline for earlier in self.reports),
        )
        self.clipper.end_epoch(tally.steps)
        self.reports.append(report)
        self.epoch_rng = self.rng.bit_generator.state
        if report.best:
            self.best = self._weights()
        return report

    def _rate(self, step: int) -> float:
        return rate_of_step(self.config, len(self.reports) * self.steps_per_epoch + step, self.steps_per_epoch)

    def _weights(self) -> Weights:
        return copy.deepcopy(self.model.state_dict())

    def _wrapped(self, loss: nn.Module) -> nn.Module:
        if self.config.compile:
            loss.compile(dynamic=True)
        if self.world.size == 1:
            return loss
        devices = [torch.device(self.world.device)] if self.world.device != "cpu" else None
        return DistributedDataParallel(loss, device_ids=devices)


def _require_trainable(windows: Windows, validation: Examples, config: TrainConfig, world: World) -> None:
    if not windows.num_examples or not len(validation):
        raise InputError(
            f"{windows.num_examples} training examples and {len(validation)} users to validate on; "
            "training needs users with three events or more"
        )
    # Of a smaller batch a process might get nothing.
    fitting = windows.longest * world.size
    if config.batch_events < fitting:
        of_each = f", one for each of {world.size} processes" if world.size > 1 else ""
        raise InputError(
            f"batch_events={config.batch_events} is less than a step needs: the longest row has {windows.longest} "
            f"events to predict{of_each}; give {fitting} or more"
        )
