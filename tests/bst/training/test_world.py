"""Several processes train as one does at the same global batch, and one of them writes and speaks."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bst import InputError
from bst.system.processes import context, undisturbed_start
from bst.training.world import World, joined_world
from tests.bst.run.test_resume import same_but_for_speed
from tests.bst.training.one_of_two import train
from tests.conftest import Command, write_events, write_users

# Without dropout, whose random numbers differ from process to process, the loss must be that of one process.
SETTINGS = """
[model]
dim = 16
num_heads = 2
ff_width = 32
max_length = 12
head_widths = [24]
dropout = 0.0
[training]
epochs = 2
batch_events = {batch_events}
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("given")
    events, users = write_events(folder / "events.csv"), write_users(folder / "users.csv")
    (folder / "train.toml").write_text(SETTINGS.format(batch_events=108))
    return [str(events), "--users", str(users), "--context", "gender", "--config", str(folder / "train.toml")]


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bst"]


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TORCHRUN, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def together(folder: Path, *arguments: object) -> str:
    """Run `bst` as two processes that a started one is forked to; what the two printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = list(map(str, arguments))
    printed = [folder / f"printed_{rank}.txt" for rank in range(2)]
    both = [context().Process(target=train, args=(rank, port, command, printed[rank]), daemon=True) for rank in (0, 1)]
    with undisturbed_start():
        for process in both:
            process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    return "".join(path.read_text() for path in printed)


def by_torchrun(folder: Path, *arguments: object) -> str:
    both = torchrun(*arguments)
    assert both.returncode == 0, both.stderr
    return both.stdout


@pytest.mark.parametrize("start", [together, pytest.param(by_torchrun, marks=pytest.mark.slow)])
def test_two_processes_learn_what_one_learns(
    given: list[str], tmp_path: Path, bst_command: Command, start: Callable[..., str]
) -> None:
    code, out, _ = bst_command("train", *given, "--out", tmp_path / "one")
    assert code == 0
    both = start(tmp_path, "train", *given, "--out", tmp_path / "two")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)
    told = [[line.split()[0] for line in printed.splitlines()] for printed in (both, out)]
    assert told[0] == told[1]


@pytest.mark.slow
def test_two_processes_that_were_killed_resume_to_the_bit(given: list[str], tmp_path: Path) -> None:
    settings = SETTINGS.format(batch_events=38).replace("dropout = 0.0", "dropout = 0.3") + "checkpoint_seconds = 0.0\n"
    (tmp_path / "train.toml").write_text(settings)
    arguments = ["train", *given[:-1], str(tmp_path / "train.toml"), "--resume", "--out"]
    assert torchrun(*arguments, tmp_path / "whole").returncode == 0
    run = tmp_path / "run"
    process = subprocess.Popen([*TORCHRUN, *arguments, str(run)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (run / "metrics.jsonl").exists():
        time.sleep(0.002)
    time.sleep(0.1)
    subprocess.run(["pkill", "-KILL", "-f", str(run)], check=True)  # the workers are in sessions of their own
    assert process.wait() == -signal.SIGKILL
    assert len(losses(run)) < 2
    assert torchrun(*arguments, run).returncode == 0
    same_but_for_speed(run, tmp_path / "whole")


@pytest.mark.slow
def test_a_batch_that_the_processes_cannot_share_is_one_line(given: list[str], tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(SETTINGS.format(batch_events=20))
    refused = torchrun("train", *given[:-1], tmp_path / "train.toml", "--out", tmp_path / "run")
    lines = [line for line in refused.stderr.splitlines() if line.startswith("error:")]
    assert lines == [
        "error: batch_events=20 is less than a step needs: the longest row has 12 events to predict, one for each of 2 "
        "processes; give 24 or more"
    ]
    assert refused.returncode != 0
    assert not (tmp_path / "run").exists()


def test_processes_that_hold_other_data_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "gather", lambda self, tensor: [tensor, tensor, tensor + 1])
    with pytest.raises(InputError, match="process 2 of 3 has other data than the first; give all the same"):
        World(size=3).require_same("ab" * 32, "data")
    monkeypatch.setattr(World, "gather", lambda self, tensor: [tensor, tensor.clone()])
    World(size=2).require_same("ab" * 32, "data")


def test_one_process_needs_no_launcher() -> None:
    with joined_world("cpu") as world:
        assert world == World()
        assert world.is_first


@pytest.mark.parametrize("device", ["tpu", "cpu:0", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with (
        pytest.raises(InputError, match=f"device '{device}' is not available here; available: cpu"),
        joined_world(device),
    ):
        pass
