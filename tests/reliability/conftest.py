"""A run and a bundle of it that cost little, which the tests of faults share, and processes of their own."""

from pathlib import Path

import pytest

from bst.cli import run
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
    assert run([*training, str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def small_bundle(small_run: Path) -> Path:
    """In TorchScript alone, which is the quickest to export."""
    path = small_run.with_name("bundle")
    assert run(["export", str(small_run), "--k", "5", "--formats", "torchscript", "--out", str(path)]) == 0
    return path
