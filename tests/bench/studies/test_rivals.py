"""The study of rivals without any of them: a package that is missing, the windows, and what is kept of an epoch."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.studies.rivals import __main__ as study
from bench.studies.rivals import rechub_sasrec
from bench.studies.rivals.task import Limits, Progress, Ranked, Task
from bst import Dataset, read_interactions
from bst.data.windows import TrainingWindows
from bst.errors import InputError
from bst.training.metrics import RankingMetrics

EVERYWHERE = ("replay-rec", "torch-rechub")


@pytest.fixture(scope="module")
def task(tables: tuple[Path, Path]) -> Task:
    return Task(Dataset.build(read_interactions(tables[0])))


class Ladder(nn.Module):
    """A model that scores items by their numbers, in one direction or the other."""

    def __init__(self, num_items: int) -> None:
        super().__init__()
        self.items = nn.Parameter(torch.arange(num_items).float(), requires_grad=False)

    def ranked(self) -> Ranked:
        def encode(items: Tensor) -> Tensor:
            return torch.ones(len(items), 1)

        return Ranked(self, encode, lambda users: users * self.items, len(self.items))


@pytest.mark.parametrize("rival", EVERYWHERE)
def test_a_missing_package_is_refused_before_the_table_is_read(
    rival: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "find_spec", lambda name: None)
    monkeypatch.setattr(
        sys, "argv", ["rivals", "nothing.csv", "--rival", rival, "--epochs", "1", "--out", str(tmp_path / "lines")]
    )
    with pytest.raises(InputError, match=rf"{rival} needs the package .*; pip install '?{rival}.*==.* torch==\d"):
        study.main()
    assert not (tmp_path / "lines").exists()


def test_a_loss_of_another_rival_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study, "find_spec", lambda name: name)
    options = {"--rival": "torch-rechub", "--loss": "full", "--epochs": "1", "--out": str(tmp_path / "lines")}
    monkeypatch.setattr(sys, "argv", ["rivals", "nothing.csv", *(part for pair in options.items() for part in pair)])
    with pytest.raises(InputError, match="--loss full is not of torch-rechub; give pair-wise"):
        study.main()


@pytest.mark.parametrize("max_length", [1, 3, 50])
def test_every_training_event_but_the_first_of_a_user_is_a_target_once(task: Task, max_length: int) -> None:
    windows = task.windows(max_length)
    real = (windows[:, 1:] > 0) & (windows[:, :-1] > 0)
    split, sequences = task.dataset.split, task.dataset.sequences
    assert real.sum() == TrainingWindows(sequences, split.train_stops, max_length).num_examples
    events = [
        sequences.items[start + 1 : stop] for start, stop in zip(sequences.offsets[:-1], split.train_stops, strict=True)
    ]
    assert sorted(windows[:, 1:][real]) == sorted(np.concatenate(events))


def test_rows_of_torch_rechub_begin_with_the_oldest_event() -> None:
    inputs = rechub_sasrec.inputs_of(np.array([[0, 0, 5, 2], [2, 9, 4, 7]]))
    assert inputs["seq"].tolist() == [[5, 0, 0], [2, 9, 4]]
    assert inputs["pos"].tolist() == [[2, 0, 0], [9, 4, 7]]


def test_the_best_epoch_is_kept_and_each_is_written_when_it_ends(task: Task, tmp_path: Path) -> None:
    path, model = tmp_path / "epochs.jsonl", Ladder(task.num_items)
    progress = Progress(task, 50, Limits(epochs=9, patience=1), {"rival": "ladder"}, path)
    ends, found = [], []
    for direction in (1.0, -1.0, 1.0, -1.0):
        model.items.copy_(direction * torch.arange(task.num_items))
        ends.append(progress.after_epoch(model.ranked(), loss=0.0, rows=10, steps=1, seconds=2.0))
        found.append(json.loads(path.read_text().splitlines()[-1]))
        if ends[-1]:
            break
    values = [line["validation"]["ndcg_10"] for line in found]
    assert ends == [False] * (len(ends) - 1) + [True]
    assert progress.best_epoch == int(np.argmax(values)) + 1
    assert [line["rows_per_s"] for line in found] == [5.0] * len(found)
    tested = progress.test(model.ranked())
    assert isinstance(tested, RankingMetrics)
    assert (model.items[1] > model.items[0]) == (progress.best_epoch == 1)
    assert json.loads(path.read_text().splitlines()[-1])["test"] == tested.to_dict()
