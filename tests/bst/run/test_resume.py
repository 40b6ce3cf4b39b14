"""A training that was interrupted ends as if it had not been."""

import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch

from bst import BST, Dataset, InputError, Settings, TrainConfig, Trainer, load_run, read_interactions, train
from bst.data.windows import TrainingWindows
from bst.run.folder import STATE_FILE
from bst.run.state_file import load_state, save_state
from bst.system.files import remove_leftovers
from bst.training.state import TrainingState, restore_optimizer
from bst.training.trainer import EpochReport
from tests.conftest import TINY, fill, same_but_for_speed, write_events

TRAINING = TrainConfig(epochs=3, batch_events=60, clipping="adaptive_epoch", loss="sampled_softmax", num_negatives=16)
SETTINGS = Settings(model=TINY, training=TRAINING)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = write_events(tmp_path_factory.mktemp("events") / "events.csv")
    return Dataset.build(read_interactions(path, SETTINGS.data))


@pytest.fixture(scope="module")
def undisturbed(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("undisturbed") / "run"
    train(dataset, SETTINGS, path)
    return path


class Killed(BaseException):
    """Stands for a kill between two steps."""


def with_checkpoints_at_every_step(settings: Settings) -> Settings:
    return settings.model_copy(update={"training": settings.training.model_copy(update={"checkpoint_seconds": 0.0})})


def interrupted(dataset: Dataset, settings: Settings, out: Path, saves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until the state has been saved `saves` times."""
    left = iter(range(saves))

    def save_and_die(run: Path, state: TrainingState) -> None:
        save_state(run, state)
        if next(left, None) is None:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("bst.run.log.save_state", save_and_die)
        with pytest.raises(Killed):
            train(dataset, settings, out, resume=True)


@pytest.mark.parametrize("saves", [1, 4, 8, 17])
def test_an_interrupted_training_ends_with_the_same_weights_to_the_bit(
    dataset: Dataset, undisturbed: Path, tmp_path: Path, saves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_checkpoints_at_every_step(SETTINGS)
    interrupted(dataset, settings, tmp_path / "run", saves, monkeypatch)
    interrupted(dataset, settings, tmp_path / "run", 2, monkeypatch)  # and once more, a little later
    train(dataset, settings, tmp_path / "run", resume=True)
    same_but_for_speed(undisturbed, tmp_path / "run")


def test_a_kill_between_weights_and_state_loses_nothing(dataset: Dataset, undisturbed: Path, tmp_path: Path) -> None:
    """The weights of the best epoch are there already, the state is that of the epoch before."""
    states: list[TrainingState] = []
    run = tmp_path / "run"
    train(dataset, SETTINGS, run, on_epoch=lambda report: states.append(load_state(run)))
    best = max(report["epoch"] for report in load_run(run).epochs if report["best"])
    assert len(states[best - 1].values["reports"]) == best - 1
    save_state(run, states[best - 1])
    (run / ".model.safetensors.partial-x").write_bytes(b"half a file")
    train(dataset, SETTINGS, run, resume=True)
    same_but_for_speed(undisturbed, run)
    assert not list(run.glob(".*"))


def test_a_training_without_clipping_is_resumed(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What gradients are clipped to is infinite then, which JSON has no word for."""
    training = TRAINING.model_copy(update={"clipping": "off", "epochs": 1})
    settings = with_checkpoints_at_every_step(SETTINGS.model_copy(update={"training": training}))
    train(dataset, settings, tmp_path / "undisturbed")
    interrupted(dataset, settings, tmp_path / "run", 4, monkeypatch)
    train(dataset, settings, tmp_path / "run", resume=True)
    same_but_for_speed(tmp_path / "undisturbed", tmp_path / "run")


def test_a_finished_run_is_only_measured_again(
    dataset: Dataset, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bst.training.trainer.Trainer.epoch", lambda self: pytest.fail("trained again"))
    told: list[int] = []
    copied = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    again = train(dataset, SETTINGS, copied, resume=True, on_epoch=lambda report: told.append(report.epoch))
    assert told == [1, 2, 3]
    assert again.validation.to_dict() == max(
        (line["validation"] for line in load_run(undisturbed).epochs), key=lambda one: one["ndcg_10"]
    )
    same_but_for_speed(undisturbed, copied)


def test_resume_of_a_run_that_is_not_there_starts_it(dataset: Dataset, undisturbed: Path, tmp_path: Path) -> None:
    train(dataset, SETTINGS, tmp_path / "run", resume=True)
    same_but_for_speed(undisturbed, tmp_path / "run")


def test_a_run_without_a_finished_epoch_says_so(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(dataset, with_checkpoints_at_every_step(SETTINGS), tmp_path / "run", 2, monkeypatch)
    with pytest.raises(InputError, match=r"no model\.safetensors yet: its first epoch was not finished; .*--resume"):
        load_run(tmp_path / "run")


def test_resume_with_other_settings_names_every_difference(dataset: Dataset, undisturbed: Path) -> None:
    other = Settings(model=TINY.model_copy(update={"dropout": 0.5}), training=TRAINING.model_copy(update={"epochs": 9}))
    with pytest.raises(
        InputError, match=r"model\.dropout is 0\.5, in the run 0\.4; training\.epochs is 9, in the run 3; give those"
    ):
        train(dataset, other, undisturbed, resume=True)


@pytest.mark.parametrize("grown", [False, True])
def test_resume_with_other_data_is_refused(undisturbed: Path, tmp_path: Path, grown: bool) -> None:
    path = write_events(tmp_path / "events.csv", seed=0 if grown else 1)
    if grown:  # one event of a new item
        path.write_text(path.read_text() + "1,999,9999999\n")
    other = Dataset.build(read_interactions(path, SETTINGS.data))
    with pytest.raises(InputError, match=r"was trained on other data \(events, users, items or context"):
        train(other, SETTINGS, undisturbed, resume=True)


def test_a_state_that_says_nothing_of_its_data_is_refused(dataset: Dataset, undisturbed: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    state = load_state(copied)
    del state.values["origin"]
    save_state(copied, state)
    with pytest.raises(InputError, match="does not say what it was trained on"):
        train(dataset, SETTINGS, copied, resume=True)


def test_how_often_to_save_may_change(dataset: Dataset, undisturbed: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    train(dataset, with_checkpoints_at_every_step(SETTINGS), copied, resume=True)


def test_a_state_without_random_numbers_for_this_process_goes_on_from_the_seed(
    dataset: Dataset, undisturbed: Path
) -> None:
    """As when a run of one process is resumed by two, or one of a GPU on the CPU."""
    config, state = load_run(undisturbed).config, load_state(undisturbed)
    windows = TrainingWindows(dataset.sequences, dataset.split.train_stops, config.model.max_length)
    trainer = Trainer(BST(config.model), windows, dataset.split.validation, TRAINING)
    before = torch.get_rng_state()
    tensors = {name: tensor for name, tensor in state.tensors.items() if not name.startswith("random.")}
    trainer.restore(TrainingState(tensors, state.values), None)
    assert len(trainer.reports) == 3
    assert torch.equal(torch.get_rng_state(), before)


def test_leftovers_of_another_run_stay(tmp_path: Path) -> None:
    for name in (".run1.partial-x", ".run[1].partial-x"):
        (tmp_path / name).mkdir()
    remove_leftovers(tmp_path / "run[1]")
    assert [path.name for path in tmp_path.iterdir()] == [".run1.partial-x"]


def test_resume_with_other_ids_is_refused(undisturbed: Path, tmp_path: Path) -> None:
    """The same events under other names would give a model that answers with the wrong items."""
    path = write_events(tmp_path / "events.csv")
    renamed = pl.read_csv(path).with_columns(pl.col("item_id") + 1000)
    renamed.write_csv(path)
    other = Dataset.build(read_interactions(path, SETTINGS.data))
    with pytest.raises(InputError, match=r"was trained on other data \(ids differ\)"):
        train(other, SETTINGS, undisturbed, resume=True)


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_a_run_whose_state_is_gone_cannot_be_resumed(
    dataset: Dataset, undisturbed: Path, tmp_path: Path, damage: str
) -> None:
    copied = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    content = (copied / STATE_FILE).read_bytes()
    (copied / STATE_FILE).unlink()
    if damage == "short":
        (copied / STATE_FILE).write_bytes(content[:500])
    with pytest.raises(InputError, match=r"training\.safetensors.*another --out"):
        train(dataset, SETTINGS, copied, resume=True)
    load_run(copied)  # the model itself is whole


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"threads": 77}, f"begun with threads 77, now {torch.get_num_threads()}: .* to the bit"),
        ({"precision": "bfloat16"}, "begun with precision bfloat16, now float32: .* to the bit"),
    ],
)
def test_another_number_of_threads_or_precision_is_said_aloud(
    changed: dict[str, object], line: str, dataset: Dataset, undisturbed: Path, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    state = load_state(copied)
    origin = {**state.values["origin"], **changed}
    save_state(copied, TrainingState(state.tensors, {**state.values, "origin": origin}))
    with pytest.warns(UserWarning, match=line):
        train(dataset, SETTINGS, copied, resume=True)


def test_a_full_disk_keeps_what_was_whole(dataset: Dataset, undisturbed: Path, small_disk: Path) -> None:
    settings, run = with_checkpoints_at_every_step(SETTINGS), small_disk / "run"
    before: dict[str, bytes] = {}

    def fill_the_disk(report: EpochReport) -> None:
        before.update({path.name: path.read_bytes() for path in run.iterdir()})
        fill(small_disk / "filler")

    with pytest.raises(OSError, match=r"No space left on device: '.*training\.safetensors'"):
        train(dataset, settings, run, on_epoch=fill_the_disk)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    (small_disk / "filler").unlink()
    train(dataset, settings, run, resume=True)
    same_but_for_speed(undisturbed, run)


def test_a_full_disk_is_one_line(
    bst_command: Callable[..., tuple[int, str, str]], small_disk: Path, tmp_path: Path
) -> None:
    events = write_events(tmp_path / "events.csv")
    fill(small_disk / "filler")
    code, _, err = bst_command("train", events, "--out", small_disk / "run")
    assert code == 2
    assert err.startswith("error: ")
    assert "No space left on device" in err
    assert err.count("\n") == 1
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


@pytest.mark.slow
def test_kill_9_at_any_moment_and_resume(tmp_path: Path, bst_command: Callable[..., tuple[int, str, str]]) -> None:
    """Real processes, each killed some time after its first checkpoint; the last one comes through."""
    events, settings = write_events(tmp_path / "events.csv", users=300), tmp_path / "train.toml"
    settings.write_text(
        "[model]\ndim = 16\nnum_heads = 2\nff_width = 32\nmax_length = 12\nhead_widths = [24]\n"
        "[training]\nepochs = 4\nbatch_events = 40\ncheckpoint_seconds = 0.0\n"
    )
    arguments = ["train", str(events), "--config", str(settings), "--resume", "--out"]
    assert bst_command(*arguments, tmp_path / "whole")[0] == 0
    state = tmp_path / "run" / STATE_FILE
    command = [sys.executable, "-m", "bst", *arguments, str(tmp_path / "run")]
    for seconds in (0.013, 0.2, 0.47):
        before = state.read_bytes() if state.exists() else b""
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (state.exists() and state.read_bytes() != before):
            time.sleep(0.002)
        time.sleep(seconds)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0
    same_but_for_speed(tmp_path / "whole", tmp_path / "run")


def test_a_state_that_says_infinity_where_clipping_is_off_is_read(run_path: Path, tmp_path: Path) -> None:
    """As versions before the first release wrote it."""
    (tmp_path / "run").mkdir()
    state = load_state(run_path)
    save_state(tmp_path / "run", TrainingState(state.tensors, {**state.values, "clip_value": math.inf}))
    assert load_state(tmp_path / "run").values["clip_value"] is None


def test_moments_that_are_missing_are_told() -> None:
    optimizer = torch.optim.AdamW([torch.zeros(2), torch.zeros(2)])
    one = {"0.step": torch.ones(1), "0.exp_avg": torch.zeros(2), "0.exp_avg_sq": torch.zeros(2)}
    for tensors in ({}, one):
        with pytest.raises(ValueError, match=r"it holds moments of [01] parameters, and the model has 2"):
            restore_optimizer(optimizer, tensors, begun=True)
    restore_optimizer(optimizer, {}, begun=False)
