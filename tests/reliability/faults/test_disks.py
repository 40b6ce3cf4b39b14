"""A full disk and a folder that cannot be written: one line, and what was there stays as it was."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import Command, fill, mounted, refused
from tests.reliability.faults.faults import content, leftovers

BENCH = (
    *("--backends", "eager", "--signature", "encode_user", "--batch-sizes", 1),
    *("--launches", 2, "--rounds", 1, "--round-seconds", 0.02),
)
# The check of the space is left out, as if the disk had become full after it.
WITHOUT_CHECK = "import export.bundle.exporter as e, bst.cli; e.require_space = lambda *given: None; bst.cli.main()"


@pytest.fixture
def read_only(small_run: Path, small_bundle: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with a run, a bundle and a record on a disk that nobody, root neither, can write."""
    path = tmp_path / "read_only"
    path.mkdir()
    with mounted(path, "size=8m"):
        shutil.copytree(small_run, path / "run")
        shutil.copytree(small_bundle, path / "bundle")
        (path / "bench.json").write_text("{}")
        subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
        yield path


def test_no_command_begins_what_it_cannot_write(
    read_only: Path, training: tuple[str, ...], small_run: Path, bundle_path: Path, tmp_path: Path, bst_command: Command
) -> None:
    before = content(read_only)
    weights, config = tmp_path / "weights.pth", tmp_path / "config.json"
    torch.save({}, weights)
    config.write_text(json.dumps({}))
    new = read_only / "new"
    # What is not there would be told first, had any of them looked at what it works on.
    for arguments in (
        ("train", tmp_path / "none.csv", "--out", new),
        ("export", small_run, "--out", new),
        ("export", small_run, "--into", read_only / "bundle"),
        ("export", bundle_path, "--triton", new),
        ("import", "notebook", weights, config, "--out", new),
    ):
        refused(bst_command(*arguments), str(read_only), "writable")
    for option in ("--json", "--html"):
        for name in ("new.file", "bench.json"):
            refused(bst_command("bench", bundle_path, option, read_only / name), "cannot be written; give a file")
    refused(bst_command(*training, read_only / "run"), "Read-only file system")
    assert content(read_only) == before


def test_a_full_disk_stops_an_export_before_it_begins(
    small_disk: Path, small_run: Path, tmp_path: Path, bst_command: Command
) -> None:
    refused(bst_command("export", small_run, "--out", small_disk / "bundle"), "the bundle needs about", "make room")
    assert not list(small_disk.iterdir())


def test_a_full_disk_leaves_the_bundle_that_was_to_be_refreshed(
    small_disk: Path, small_run: Path, small_bundle: Path, bst_command: Command
) -> None:
    bundle = Path(shutil.copytree(small_bundle, small_disk / "bundle"))
    fill(small_disk / "filler")
    refused(bst_command("export", small_run, "--into", bundle), "the bundle needs about", "make room")
    assert content(bundle) == content(small_bundle)
    assert not leftovers(small_disk)


def test_a_disk_without_room_for_a_model_repository_stays_as_it_was(
    small_disk: Path, bundle_path: Path, bst_command: Command
) -> None:
    fill(small_disk / "filler")
    (small_disk / "more").touch()
    refused(bst_command("export", bundle_path, "--triton", small_disk / "models"), "make room")
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "more"]


@pytest.mark.slow
def test_a_full_disk_costs_the_file_of_a_bench_but_not_what_it_found(
    small_disk: Path, small_bundle: Path, bst_command: Command
) -> None:
    record = small_disk / "bench.json"
    record.write_text("old")
    fill(small_disk / "filler")
    result = bst_command("bench", small_bundle, *BENCH, "--json", record)
    refused(result, "No space left on device", "bench.json")
    assert "eager" in result[1]
    assert record.read_text() == "old"
    assert not leftovers(small_disk)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "torchscript", "pt2"])
def test_a_disk_that_fills_during_an_export_leaves_no_bundle(
    small_disk: Path, small_run: Path, bst_command: Command, form: str
) -> None:
    """torch ends the process in the middle of an archive; then the next call removes what it left."""
    bundle = small_disk / "bundle"
    (small_disk / "room").write_bytes(bytes(32_000))
    fill(small_disk / "filler")
    (small_disk / "room").unlink()
    arguments = ("export", small_run, "--k", 5, "--formats", form, "--out", bundle)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CHECK, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if form == "onnx":
        refused((done.returncode, "", done.stderr), "No space left on device")
        assert not leftovers(small_disk)
    assert done.returncode != 0
    assert not bundle.exists()
    refused(bst_command(*arguments), "make room")
    assert not leftovers(small_disk)
