"""A training that goes on from a run has its weights, ids and scales, and room for what is new."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from bst import InputError, load_run
from bst.config import Settings, TrainConfig
from bst.data.interactions import read_interactions
from bst.run.dataset import Dataset
from bst.run.folder import run_hash
from bst.run.growth.start import Start, grown_dataset
from bst.run.pipeline import train
from tests.conftest import TINY, Command, write_events

STILL = TrainConfig(epochs=1, learning_rate=1e-12, item_learning_rate=1e-12, weight_decay=0.0, filter_seen=False)
KINDS = ("buy", "view")


def events_of(path: Path, items: list[int], kinds: tuple[str, ...] = KINDS) -> Path:
    """Write histories of six users over `items`, with a kind an event and a city and an age a user."""
    rng = np.random.default_rng(len(items))
    rows = [
        {
            **{
                "user_id": user,
                "item_id": int(item),
                "timestamp": 1_600_000_000 + 3600 * step,
                "kind": kinds[step % len(kinds)],
            },
            **{"city": f"c{user % 3}", "age": 20 + user},
        }
        for user in range(6)
        for step, item in enumerate(rng.permutation(items))
    ]
    pl.DataFrame(rows).write_csv(path)
    return path


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "own_output"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    events = events_of(folder / "events.csv", [10, 20, 30, 40, 50])
    model = TINY.model_copy(update={"tied_output": request.param, "event_times": "to_next"})
    data = Settings().data.model_copy(update={"context": ("city",), "event_features": ("kind",), "numbers": ("age",)})
    settings = Settings(model=model, training=STILL.model_copy(update={"learning_rate": 1e-2}), data=data)
    train(Dataset.build(read_interactions(events, data, times=True)), settings, folder / "run")
    return folder / "run"


def gone_on(run: Path, events: Path, out: Path, training: TrainConfig = STILL) -> Path:
    """Train on from `run`, with a step of no size: what comes out is what it began with."""
    source = load_run(run)
    model = TINY.model_copy(update={"tied_output": source.config.model.tied_output, "event_times": "to_next"})
    settings = Settings(model=model, training=training, data=source.config.data)
    dataset = grown_dataset(source, events, settings.data, None, None)
    train(dataset, settings, out, start=Start.read(run))
    return out


def test_old_ids_score_as_before_whatever_is_new(run: Path, tmp_path: Path) -> None:
    events = events_of(tmp_path / "events.csv", [5, 10, 20, 25, 30, 40, 50, 60], ("buy", "cart", "view"))
    old, new = load_run(run), load_run(gone_on(run, events, tmp_path / "new"))
    assert new.vocabularies.items.ids.to_list() == [5, 10, 20, 25, 30, 40, 50, 60]
    assert new.vocabularies.events["kind"].ids.to_list() == ["buy", "cart", "view"]
    assert new.config.model.numbers == old.config.model.numbers
    assert new.config.started_from == run_hash(run)
    scores = []
    for loaded in (old, new):
        vocabularies = loaded.vocabularies
        items = torch.tensor([vocabularies.items.indices(np.array([20, 50, 10])).tolist()])
        kinds = torch.tensor(vocabularies.events["kind"].indices(pl.Series(["view", "buy", "view"])).tolist())
        beside = {
            "events": kinds.view(1, 3, 1),
            "event_time": torch.tensor([[100, 5000, 9000]]),
            "request_time": torch.tensor([10_000]),
            "numbers": torch.tensor([[23.0]]),
        }
        answer = loaded.model(items, torch.tensor([[2]]), **beside)
        scores.append(answer[0, vocabularies.items.indices(np.array([10, 20, 30, 40, 50]))])
    assert torch.allclose(*scores, atol=1e-6)


def test_a_new_item_begins_at_the_mean_of_those_before_it(run: Path, tmp_path: Path) -> None:
    rows = [
        {
            "user_id": user,
            "item_id": item,
            "timestamp": 1_600_000_000 + 3600 * step,
            "kind": KINDS[step % 2],
            "city": f"c{user}",
            "age": 20 + user,
        }
        for user, history in enumerate([[10, 70, 20, 30, 40], [20, 70, 10, 30, 50], [30, 40, 20, 10, 80]])
        for step, item in enumerate(history)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "events.csv")
    old, new = load_run(run), load_run(gone_on(run, tmp_path / "events.csv", tmp_path / "new"))
    tables = ["item_embedding.weight"] + ([] if old.config.model.tied_output else ["output.weight"])
    for name in tables:
        first = int(name == "output.weight")
        rows_of = [loaded.model.get_parameter(name).detach() for loaded in (old, new)]
        places = [loaded.vocabularies.items.indices(np.array([10, 20, 70, 80])) - first for loaded in (old, new)]
        before = rows_of[0][places[0][:2]]
        assert torch.allclose(rows_of[1][places[1][2]], before.mean(dim=0) / 2, atol=1e-6)  # 10 and 20 come before 70
        assert rows_of[1][places[1][3]].abs().max() < 1e-9  # 80 is a test item: what is before it is not for training


def test_a_run_of_other_form_is_refused(run: Path, tmp_path: Path) -> None:
    source = load_run(run)
    events = events_of(tmp_path / "events.csv", [10, 20, 30])
    dataset = grown_dataset(source, events, source.config.data, None, None)
    model = TINY.model_copy(update={"dim": 8, "event_times": "to_next"})
    settings = Settings(model=model, training=STILL, data=source.config.data)
    with pytest.raises(InputError, match=r"--from keeps the model of the run, and here is dim=8 \(the run has 16\)"):
        train(dataset, settings, tmp_path / "new", start=Start.read(run))
    assert not (tmp_path / "new").exists()


def test_a_warm_start_is_one_option(tmp_path: Path, bst_command: Command) -> None:
    config = tmp_path / "train.toml"
    config.write_text(
        "[model]\ndim = 16\nmax_length = 12\n[training]\nepochs = 3\nlearning_rate = 3e-3\nbatch_events = 900\n"
    )
    old, new = (write_events(tmp_path / f"{name}.csv", items=items) for name, items in (("old", 40), ("new", 45)))
    run, again = tmp_path / "run", tmp_path / "again"
    assert bst_command("train", old, "--config", config, "--out", run)[0] == 0
    code, out, err = bst_command("train", new, "--from", run, "--epochs", "1", "--out", again)
    assert (code, err) == (0, "")
    known = set(load_run(run).vocabularies.items.ids)
    items = load_run(again).vocabularies.items.ids
    assert known < set(items)
    assert f"goes on from the weights of a run; {len(items) - len(known)} items are new to it" in out
    assert "learning rates are 0.0001, and 0.001 of item vectors that are trained by row" in out
    training = json.loads((again / "config.json").read_text())["training"]
    assert (training["epochs"], training["batch_events"]) == (1, 900)  # what is not said again is as in the run
    assert (training["learning_rate"], training["item_learning_rate"]) == (1e-4, 1e-3)
    config.write_text("[training]\nlearning_rate = 2e-3\n")
    assert (
        bst_command("train", new, "--from", again, "--config", config, "--epochs", "1", "--out", tmp_path / "set")[0]
        == 0
    )
    training = json.loads((tmp_path / "set" / "config.json").read_text())["training"]
    assert (training["learning_rate"], training["item_learning_rate"]) == (2e-3, 1e-3)
    code, out, err = bst_command("train", new, "--from", run, "--preset", "notebook", "--out", tmp_path / "other")
    assert (code, out) == (2, "")
    assert "--preset notebook makes a new model" in err
    write_events(tmp_path / "text.csv", text=True)
    code, out, err = bst_command("train", tmp_path / "text.csv", "--from", run, "--out", tmp_path / "other")
    assert (code, out) == (2, "")
    assert "are string, and those before are int64" in err
    assert not (tmp_path / "other").exists()
