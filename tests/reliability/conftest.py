"""Runs and bundles to spoil, such that cost little, and processes of their own."""

import shutil
from pathlib import Path

import pytest

from bst import cli
from tests.builds import Builds
from tests.conftest import write_events
from tests.reliability.faults.faults import SMALL, Calls


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path)


def command(*arguments: object) -> None:
    assert cli.run([str(one) for one in arguments]) == 0


@pytest.fixture(scope="session")
def training(builds: Builds) -> tuple[str, ...]:
    """The arguments of a training that resumes, up to its run."""

    def write(folder: Path) -> None:
        folder.mkdir()
        write_events(folder / "events.csv", users=120)
        (folder / "train.toml").write_text(SMALL)

    folder = builds.get("small-training", write)
    return "train", str(folder / "events.csv"), "--config", str(folder / "train.toml"), "--resume", "--out"


@pytest.fixture(scope="session")
def small_run(training: tuple[str, ...], builds: Builds) -> Path:
    return builds.get("small-run", lambda path: command(*training, path))


@pytest.fixture(scope="session")
def small_bundle(small_run: Path, builds: Builds) -> Path:
    """In TorchScript alone, which is the quickest to export."""
    options = ("--k", 5, "--formats", "torchscript", "--signatures", "top_k,encode_user")
    return builds.get("small-bundle", lambda path: command("export", small_run, *options, "--out", path))


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle to spoil, where a trap would leave its mark."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(bundle_path, tmp_path / "copied"))


@pytest.fixture
def run(run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(run_path, tmp_path / "run"))
