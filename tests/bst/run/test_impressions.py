"""Claims about runs of click models that are trained on impression logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bst.run.heldout import TEST_FILE
from tests.bst.run.test_clicks import SETTINGS
from tests.conftest import Command, refused

NUM_ITEMS = 12


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests that show three items, of which a user clicks the one that follows the last click, if it is there."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for user in range(60):
        last = int(rng.integers(NUM_ITEMS))
        for request in range(10):
            time = 1_600_000_000 + 86_400 * request + user
            shown = rng.choice(NUM_ITEMS, 3, replace=False)
            shown[0] = shown[0] if rng.random() < 0.3 else (last + 1) % NUM_ITEMS
            follows = [int(item) == (last + 1) % NUM_ITEMS if request else int(item) == shown[0] for item in shown]
            rows += [
                {"user_id": user, "item_id": 100 + int(item), "timestamp": time, "clicked": int(clicked)}
                for item, clicked in zip(shown, follows, strict=True)
            ]
            last = next((int(item) for item, clicked in zip(shown, follows, strict=True) if clicked), last)
    folder = tmp_path_factory.mktemp("log")
    pl.DataFrame(rows).write_csv(folder / "log.csv")
    items = pl.DataFrame({"item_id": range(100, 100 + NUM_ITEMS), "part": [number // 4 for number in range(NUM_ITEMS)]})
    items.write_csv(folder / "items.csv")
    items.vstack(pl.DataFrame({"item_id": [999], "part": [1]})).write_csv(folder / "more_items.csv")
    (folder / "train.toml").write_text(SETTINGS.replace("3e-2", "1e-2") + '[data]\nlabel = "clicked"\n')
    return folder / "log.csv"


def test_a_label_that_depends_on_the_last_click_is_learnt(log: Path, tmp_path: Path, bst_command: Command) -> None:
    options = ("--config", log.parent / "train.toml", "--task", "click", "--label", "clicked")
    code, out, err = bst_command("train", log, "--out", tmp_path / "run", *options)
    assert (code, err) == (0, "")
    assert "1,800 impressions of 60 users, " in out
    assert "negatives" not in out
    assert "180 impressions; 0.0 % of the impressions are items that training never saw" in out
    test = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])["test"]
    assert test["model"]["auc"] > 0.95 > test["popularity"]["auc"]
    assert test["model"]["log_loss"] < min(test["base_rate_log_loss"], test["popularity"]["log_loss"])
    assert not (tmp_path / "run" / TEST_FILE).exists()
    code, out, _ = bst_command("evaluate", tmp_path / "run", log, "--json")
    assert (code, json.loads(out)["test"]) == (0, test)


def test_a_run_of_a_log_is_resumed_and_takes_new_items(log: Path, tmp_path: Path, bst_command: Command) -> None:
    folder, run = log.parent, tmp_path / "run"
    options = ("--config", folder / "train.toml", "--task", "click", "--epochs", "1", "--item-features", "part")
    call = ("train", log, "--items", folder / "items.csv", "--out", run, *options)
    assert bst_command(*call)[0] == 0
    weights = (run / "model.safetensors").read_bytes()
    assert bst_command(*call, "--resume")[0] == 0
    assert (run / "model.safetensors").read_bytes() == weights
    pl.read_csv(log).with_columns(clicked=1 - pl.col("clicked")).write_csv(tmp_path / "other.csv")
    refused(bst_command("train", tmp_path / "other.csv", *call[2:], "--resume"), "was trained on other data")
    code, out, _ = bst_command("add-items", run, folder / "more_items.csv", "--out", tmp_path / "grown")
    assert (code, "1 new items are scored by part" in out) == (0, True)
    assert bst_command("evaluate", tmp_path / "grown", log)[0] == 0


def test_a_run_of_drawn_negatives_is_measured_on_a_log(log: Path, tmp_path: Path, bst_command: Command) -> None:
    options = ("--task", "click", "--epochs", "1")
    (tmp_path / "train.toml").write_text(SETTINGS)
    bst_command("train", log, "--out", tmp_path / "run", "--config", tmp_path / "train.toml", *options)
    some = pl.read_csv(log).with_columns(item_id=pl.col("item_id").replace(100, 555))
    some.write_csv(tmp_path / "log.csv")
    code, out, _ = bst_command("evaluate", tmp_path / "run", tmp_path / "log.csv", "--label", "clicked")
    assert (code, "impressions are not known to the model" in out) == (0, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "next_item"], "label='clicked' is of click models, and a model of task 'next_item' ranks"),
        (
            ["--task", "click", "--negatives", "uniform"],
            "negatives='uniform' is of drawn negatives, and label='clicked'",
        ),
        (["--task", "click", "--file-order"], "--file-order takes no times from the table"),
        (["--task", "click", "--time-column", "when"], "clicked; say --time-column timestamp"),
        (["--task", "click", "--epochs", "1", "--validation-users", "1"], "no AUC by user; give more"),
        (["--task", "click", "--where", "clicked=1"], "column 'clicked' are 1, a log without negatives"),
    ],
)
def test_options_that_contradict_a_label_are_refused(
    log: Path, tmp_path: Path, bst_command: Command, options: list[str], message: str
) -> None:
    refused(bst_command("train", log, "--out", tmp_path / "run", "--label", "clicked", *options), message)
    assert not (tmp_path / "run").exists()


def test_settings_of_drawn_negatives_and_a_label_are_refused(log: Path, tmp_path: Path, bst_command: Command) -> None:
    (tmp_path / "train.toml").write_text('[training]\nnegatives_per_event = 4\n[data]\nlabel = "clicked"\n')
    command = ("train", log, "--out", tmp_path / "run", "--task", "click", "--config", tmp_path / "train.toml")
    refused(bst_command(*command), "negatives_per_event=4 is of drawn negatives")


def test_a_ranking_is_not_measured_on_a_log(run_path: Path, log: Path, bst_command: Command) -> None:
    refused(bst_command("evaluate", run_path, log, "--label", "clicked"), "label='clicked' is of click models")
