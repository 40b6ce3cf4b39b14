"""Runs and bundles to spoil, such that cost little, and processes of their own."""

import shutil
from pathlib import Path

import pytest

from bst import cli
from tests.conftest import write_events
from tests.reliability.faults import SMALL, Calls


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls(tmp_path)


@pytest.fixture(scope="session")
def training(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The arguments of a training that resumes, up to its run."""
    folder = tmp_path_factory.mktemp("training")
    events, settings = write_events(folder / "events.csv", users=200), folder / "train.toml"
    settings.write_text(SMALL)
    return "train", str(events), "--config", str(settings), "--resume", "--out"


@pytest.fixture(scope="session")
def small_run(training: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small_run") / "run"
    assert cli.run([*training, str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def small_bundle(small_run: Path) -> Path:
    """In TorchScript alone, which is the quickest to export."""
    path = small_run.with_name("bundle")
    assert cli.run(["export", str(small_run), "--k", "5", "--formats", "torchscript", "--out", str(path)]) == 0
    return path


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle to spoil, where a trap would leave its mark."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(bundle_path, tmp_path / "copied"))


@pytest.fixture
def run(run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(run_path, tmp_path / "run"))
