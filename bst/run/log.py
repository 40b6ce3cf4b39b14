"""A run while it is trained: written step by step, so that a kill loses only what follows the last checkpoint."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from bst.data.vocabulary import Vocabularies
from bst.errors import InputError, reason
from bst.model import BST
from bst.run.figures import (
    CALIBRATION_FILE,
    LEARNING_CURVE_FILE,
    draw_calibration,
    draw_learning_curve,
    log_epoch,
    open_tensorboard,
    save_figure,
)
from bst.run.folder import (
    STATE_FILE,
    RunConfig,
    load_weights,
    read_run_config,
    save_metrics,
    save_weights,
    staged_run,
)
from bst.run.heldout import Heldout
from bst.run.quality import ClickQuality, Quality
from bst.run.state_file import load_state, save_state
from bst.system.files import alone_in, remove_leftovers
from bst.training.state import TrainingState
from bst.training.trainer import EpochReport, Weights

# All but the last follow from the data, whose difference has a message of its own; the last is harmless.
SIZES_OF_DATA = ("num_items", "context", "event_features", "numbers", "item_features", "item_numbers")
NOT_COMPARED = {*(f"model.{name}" for name in SIZES_OF_DATA), "training.checkpoint_seconds"}
MUST_AGREE = {"data_sha256": "events, users, items or context", "vocabulary_sha256": "ids"}


class RunLog:
    """A writer of the run `path`; in processes other than the first it only reads.

    The state is the last file to be replaced. A kill between two files leaves weights or metrics that are newer than
    the state; a resume writes the same again.

    Args:
        origin: facts beside the settings that decide the weights to the bit; kept in the state.
        writes: whether this process is the first.
        tensorboard: write scalars into `tensorboard/` besides.
    """

    def __init__(self, path: Path, origin: dict[str, Any], *, writes: bool, tensorboard: bool) -> None:
        self.path, self.origin, self.writes = path, origin, writes
        self.tensorboard = tensorboard and writes
        self.scalars: Any = None

    def start(self, config: RunConfig, vocabularies: Vocabularies, heldout: Heldout, state: TrainingState) -> None:
        """Write a run that has no weights yet.

        Raises:
            InputError: the path exists or cannot be written.
        """
        if not self.writes:
            return
        with staged_run(self.path, config, vocabularies, heldout) as stage:
            save_metrics(stage, ())
            save_state(stage, self._with_origin(state))

    def alone(self) -> AbstractContextManager[None]:
        """Keep other trainings out of the run, or weights and state would come from two of them.

        Raises:
            InputError: another process is training it.
        """
        return alone_in(self.path, "the run") if self.writes else nullcontext()

    def resume(self, config: RunConfig, restore: Callable[[TrainingState, Weights | None], None]) -> None:
        """Pass the last checkpoint of the run to `restore`, with the best weights if there are some.

        Warns if the machine differs, because the last bits of the weights may then differ too.

        Raises:
            InputError: the run is of other settings or data, or is damaged.
        """
        _require_same(self.path, read_run_config(self.path), config)
        state = load_state(self.path)
        self._require_origin(state)
        best = load_weights(self.path, config.model).state_dict() if state.values.get("reports") else None
        try:
            restore(state, best)
        except (LookupError, TypeError, ValueError, RuntimeError, OverflowError, AttributeError) as error:
            raise InputError(
                f"{self.path / STATE_FILE} is damaged ({reason(error)}); train again with another --out"
            ) from None
        if self.writes:
            remove_leftovers(self.path)
            save_metrics(self.path, tuple(state.values["reports"]))

    def write(self, moment: EpochReport | TrainingState, reports: Sequence[EpochReport], model: BST) -> None:
        """Write what the trainer yields: a state to resume from, or the result of an epoch."""
        if not self.writes:
            return
        if isinstance(moment, TrainingState):
            save_state(self.path, self._with_origin(moment))
            return
        if moment.best:
            save_weights(self.path, model)
        save_metrics(self.path, tuple(report.to_dict() for report in reports))
        if self.tensorboard:
            self.scalars = self.scalars or open_tensorboard(self.path, moment.epoch)
            log_epoch(self.scalars, moment)

    def end(self, reports: Sequence[EpochReport], quality: Quality | ClickQuality) -> None:
        """Write the test metrics, and draw the learning curve, and the calibration of a click model."""
        if self.writes:
            save_metrics(self.path, (*(report.to_dict() for report in reports), {"test": quality.to_dict()}))
            save_figure(self.path / LEARNING_CURVE_FILE, lambda: draw_learning_curve(reports))
            if isinstance(quality, ClickQuality):
                calibration = quality.model.calibration
                save_figure(self.path / CALIBRATION_FILE, lambda: draw_calibration(calibration, "test"))
        if self.scalars:
            self.scalars.close()

    def _with_origin(self, state: TrainingState) -> TrainingState:
        return TrainingState(state.tensors, {**state.values, "origin": self.origin})

    def _require_origin(self, state: TrainingState) -> None:
        origin = state.values.get("origin")
        if not isinstance(origin, dict) or set(origin) != set(self.origin):
            raise InputError(
                f"{self.path / STATE_FILE} does not say what it was trained on; train again with another --out"
            )
        changed = [words for name, words in MUST_AGREE.items() if origin[name] != self.origin[name]]
        if changed:
            raise InputError(
                f"{self.path} was trained on other data ({'; '.join(changed)} differ); give the same tables, "
                "or train anew with another --out"
            )
        for name in sorted(set(origin) - set(MUST_AGREE)):
            if self.writes and origin[name] != self.origin[name]:
                warnings.warn(
                    f"{self.path} was begun with {name} {origin[name]}, now {self.origin[name]}: the weights will not "
                    "be those of an undisturbed run to the bit",
                    stacklevel=3,
                )


def _require_same(path: Path, stored: RunConfig, current: RunConfig) -> None:
    offences = []
    for table in ("model", "training", "data"):
        was, now = (config.model_dump(mode="json")[table] for config in (stored, current))
        offences += [
            f"{table}.{name} is {json.dumps(now[name])}, in the run {json.dumps(was[name])}"
            for name in was
            if was[name] != now[name] and f"{table}.{name}" not in NOT_COMPARED
        ]
    if offences:
        raise InputError(
            f"{path} was begun with other settings: {'; '.join(offences)}; give those of the run, or another --out"
        )
