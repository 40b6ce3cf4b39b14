"""Claims about runs of click models: trained from a table, resumed, evaluated."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.conftest import Command

SETTINGS = """
[model]
dim = 16
num_heads = 2
num_blocks = 1
ff_width = 16
max_length = 6
head_widths = [16]
dropout = 0.0
[training]
epochs = 12
batch_events = 40
learning_rate = 1e-2
item_learning_rate = 1e-2
"""


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Users who go round a circle of items, a step an event: the next item follows from the last one."""
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": user, "item_id": 100 + (start + step) % 20, "timestamp": 1_600_000_000 + 86_400 * step + user}
        for user, start in enumerate(rng.integers(0, 20, 240))
        for step in range(8)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "events.csv")
    (tmp_path / "train.toml").write_text(SETTINGS)
    return tmp_path / "events.csv"


def test_a_click_model_learns_which_item_follows(events: Path, bst_command: Command) -> None:
    run, config = events.parent / "run", events.parent / "train.toml"
    code, out, err = bst_command("train", events, "--out", run, "--config", config, "--task", "click")
    assert (code, err) == (0, "")
    assert "every event against 1 negatives, drawn uniformly from the items that are trained on" in out
    assert "AUC    GAUC  log loss" in out
    test = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["test"]
    assert test["model"]["auc"] > 0.95 > test["popularity"]["auc"]
    assert test["model"]["log_loss"] < test["base_rate_log_loss"]
    assert (run / "learning_curve.svg").exists()
    code, out, _ = bst_command("evaluate", run, events, "--json", "--calibration", events.parent / "new.svg")
    assert (code, json.loads(out)["test"]) == (0, test)
    drawn = (events.parent / "new.svg").read_bytes()
    assert b"<svg" in drawn
    assert drawn == (run / "calibration.svg").read_bytes()


def test_the_paper_is_a_preset_and_reads_the_time_to_the_request(events: Path, bst_command: Command) -> None:
    run = events.parent / "run"
    code, out, err = bst_command(
        "train", events, "--out", run, "--preset", "paper", "--epochs", "1", "--negatives", "popularity"
    )
    assert (code, err) == (0, "")
    assert "a row of its own" in out
    model = json.loads((run / "config.json").read_text())["model"]
    chosen = {name: model[name] for name in ("task", "pooling", "event_times", "places", "num_blocks", "head_widths")}
    assert chosen == {
        **{"task": "click", "pooling": "target", "event_times": "to_request", "places": "none", "num_blocks": 1},
        "head_widths": [1024, 512, 256],
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--filter-seen"], "filter_seen=True is of rankings, and a click model scores candidates; leave it out"),
        (["--task", "clicks"], "task"),
        (["--negatives", "hard"], "negatives"),
    ],
)
def test_options_that_do_not_go_with_clicks_are_refused_before_training(
    events: Path, bst_command: Command, options: list[str], message: str
) -> None:
    run = events.parent / "run"
    code, _, err = bst_command("train", events, "--out", run, "--task", "click", *options)
    assert (code, message in err, err.count("\n"), run.exists()) == (2, True, 1, False)


def test_options_of_rankings_are_refused_in_evaluate(events: Path, bst_command: Command) -> None:
    run, config = events.parent / "run", events.parent / "train.toml"
    bst_command("train", events, "--out", run, "--config", config, "--task", "click", "--epochs", "1")
    for option in (["--k", "5"], ["--keep-seen"], ["--places", events.parent / "places.parquet"]):
        code, _, err = bst_command("evaluate", run, events, *option)
        assert (code, "a click model scores candidates; leave it out" in err) == (2, True)
