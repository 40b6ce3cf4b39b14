"""The same seed gives the same weights, and the same run the same bundle, to the byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bst import Dataset, Settings, TrainConfig, read_interactions, train
from bst.run.state_file import load_state
from export import export_bundle
from export.contract.rules import read_manifest
from export.formats.torchscript import SEED_REMARK
from tests.conftest import TINY, VARIANTS, write_events


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_trains_the_same_bytes(tmp_path: Path) -> None:
    """But for how fast it went, which metrics and state tell."""
    events = write_events(tmp_path / "events.csv")
    settings = Settings(model=TINY, training=TrainConfig(epochs=2, batch_events=150))
    for name in ("one", "two"):
        train(Dataset.build(read_interactions(events, settings.data)), settings, tmp_path / name)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert {name for name in one if one[name] != two.get(name)} <= {"metrics.jsonl", "training.safetensors"}
    lines = [[json.loads(line) for line in each["metrics.jsonl"].splitlines()] for each in (one, two)]
    assert [{**line, "rows_per_s": 0} for line in lines[0]] == [{**line, "rows_per_s": 0} for line in lines[1]]
    states = [load_state(tmp_path / name).tensors for name in ("one", "two")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["onnx_top_k", "score_candidates"])
def test_the_same_run_exports_the_same_bytes(
    variant: str, run_path: Path, variants: dict[str, Path], tmp_path: Path
) -> None:
    """But for TorchScript, which numbers its classes on from one script of a process to the next."""
    export_bundle(run_path, tmp_path / "again", VARIANTS[variant][1])
    first, again = contents(variants[variant]), contents(tmp_path / "again")
    assert first.keys() == again.keys()
    assert {name for name in first if first[name] != again[name]} <= {"torchscript/model.pt", "manifest.json"}


@pytest.mark.slow
def test_processes_export_the_same_bytes_where_the_hash_seed_is_the_same(run_path: Path, tmp_path: Path) -> None:
    for name, seed in (("one", "0"), ("two", "0"), ("three", "1")):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-m", "bst", "export", str(run_path), "--out", str(tmp_path / name), "--k", "5"]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    one, two, three = (contents(tmp_path / name) for name in ("one", "two", "three"))
    assert [name for name in one if one[name] != two[name]] == []
    assert {name for name in one if one[name] != three[name]} <= {"torchscript/model.pt", "manifest.json"}


def test_the_manifest_says_which_bytes_differ_and_why(bundle_path: Path) -> None:
    seeded = os.environ.get("PYTHONHASHSEED", "random") != "random"
    assert (SEED_REMARK in read_manifest(bundle_path).format("torchscript").needs.remarks) != seeded
