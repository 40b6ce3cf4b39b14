"""Readers of files from strangers: what once broke one, and what a fuzzer draws.

pytest tests/reliability/guards/test_fuzz.py            # three minutes, eleven with --times 5
python -m tests.reliability.guards.fuzz                 # see there
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load, save

from bst import DataConfig, InputError, read_interactions
from tests.clients.altered import forged
from tests.reliability.guards.feeding import Plan
from tests.reliability.guards.fuzz import hunt
from tests.reliability.guards.readers import PLANTED, READERS, make_files

CRASHERS = Path(__file__).with_name("crashers")
CONFIG, STATE = DataConfig(), "run/training.safetensors"
Change = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder


def tensors(change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return lambda content: save({name: change(one) for name, one in load(content).items()})


def with_state(change: Callable[[dict[str, Any]], None]) -> Change:
    """Change the plain values in the state of a training."""

    def changed(content: bytes) -> bytes:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        values = json.loads(header["__metadata__"]["values"])
        change(values)
        header["__metadata__"]["values"] = json.dumps(values)
        made = json.dumps(header).encode()
        return len(made).to_bytes(8, "little") + made + content[8 + length :]

    return changed


def needing(library: str) -> Change:
    return forged(lambda manifest: manifest["formats"][0]["needs"]["at_least"].update({library: "17"}))


def renaming(name: str) -> Change:
    """Call the first input of every signature otherwise."""

    def rename(manifest: dict[str, Any]) -> None:
        for signature in manifest["signatures"]:
            signature["inputs"][0]["name"] = name

    return forged(rename)


# What fits only to files of the same day is made from them: reader, what it is, file, change.
FORGED: list[tuple[str, str, str, Change]] = [
    ("notebook_config", "minuses without end", "notebook.py", lambda _: b"config = " + b"-" * 5000 + b"1"),
    ("notebook_config", "brackets without end", "notebook.py", lambda _: b"config = " + b"(" * 5000 + b")" * 5000),
    ("run", "weights in eight bits", "run/model.safetensors", tensors(lambda one: one.to(torch.float8_e4m3fn))),
    ("run", "complex weights", "run/model.safetensors", tensors(lambda one: one.to(torch.complex64))),
    ("state", "values that are a list", STATE, with_state(lambda values: values.clear())),
    ("resume", "values that are empty", STATE, with_state(lambda values: values.clear())),
    ("resume", "billions of steps to go", STATE, with_state(lambda values: values["tally"].update(steps=-(2**40)))),
    ("resume", "a step that is text", STATE, with_state(lambda values: values["tally"].update(steps="a"))),
    ("session", "a library that is not there", "bundle/manifest.json", needing("ai.onnx")),
    ("session", "a library without a name", "bundle/manifest.json", needing("")),
    ("eager", "another size", "bundle/manifest.json", forged(lambda manifest: manifest["model"].update(dim=8))),
    ("eager", "a huge size", "bundle/manifest.json", forged(lambda manifest: manifest["model"].update(dim=2**40))),
    ("eager", "another head", "bundle/manifest.json", forged(lambda manifest: manifest["model"].update(num_blocks=0))),
    (
        "eager",
        "a name that is code",
        "bundle/manifest.json",
        renaming("history: exec('import os; os.system(\"true\")')#"),
    ),
    ("eager", "a name that is no name", "bundle/manifest.json", renaming("1a")),
    ("eager", "a name that is taken", "bundle/manifest.json", renaming("self")),
    (
        "session",
        "an entry that is not there",
        "bundle/manifest.json",
        forged(lambda manifest: manifest["formats"][0]["entries"].pop("top_k")),
    ),
    (
        "output_layer",
        "far beyond its file",
        "bundle/manifest.json",
        forged(lambda manifest: manifest["output_layer"]["weights"].update(offset=2**62)),
    ),
    (
        "output_layer",
        "a negative shape",
        "bundle/manifest.json",
        forged(lambda manifest: manifest["output_layer"]["biases"].update(shape=[-1])),
    ),
]


@pytest.mark.slow
def test_what_once_broke_a_reader_is_told_in_one_line(files: Path, tmp_path: Path) -> None:
    crashers = Path(shutil.copytree(CRASHERS, tmp_path / "crashers"))
    for reader, what, file, change in FORGED:
        path = crashers / reader / what / file
        path.parent.mkdir(parents=True)
        path.write_bytes(change((files / file).read_bytes()))
    found = hunt(Plan(tuple(READERS), crashers=crashers), files, tmp_path / "kept")
    assert list(found.failures.values()) == []
    assert found.counts.total() == sum(path.is_file() for path in crashers.rglob("*"))


@pytest.mark.slow
def test_minutes_of_random_inputs_break_no_reader(files: Path, tmp_path: Path, times: int) -> None:
    found = hunt(Plan(tuple(READERS), seed=2, seconds=120 * times / len(READERS)), files, tmp_path)
    assert list(found.failures.values()) == []
    assert [name for name in READERS if not found.counts[name]] == []


def test_text_that_unpacks_to_a_thousand_times_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.csv.gz"
    with gzip.open(path, "wb") as stream:
        stream.write(b"user_id,item_id,timestamp\n")
        for _ in range(80):
            stream.write(bytes(2**20))
    with pytest.raises(InputError, match=r"events\.csv\.gz unpacks to more than 67,108,864 bytes"):
        read_interactions(path, CONFIG)


def test_rows_that_no_bytes_tell_apart_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    ones = pl.repeat(1, 3_000_000, eager=True, dtype=pl.Int64)
    pl.DataFrame({"user_id": ones, "item_id": ones, "timestamp": ones}).write_parquet(path)
    with pytest.raises(
        InputError, match=r"events\.parquet holds 3,000,000 rows in [\d,]+ bytes, as no table of events"
    ):
        read_interactions(path, CONFIG)


def test_events_that_pack_well_are_read(tmp_path: Path) -> None:
    rows = "".join(f"{number // 20},{number % 7},{number}\n" for number in range(20_000))
    with gzip.open(tmp_path / "events.csv.gz", "wt") as stream:
        stream.write(f"user_id,item_id,timestamp\n{rows}")
    assert len(read_interactions(tmp_path / "events.csv.gz", CONFIG).events) == 20_000


@pytest.mark.slow
def test_faults_that_are_planted_are_found(files: Path, tmp_path: Path) -> None:
    for file in PLANTED:  # in a reader of its own
        (tmp_path / "crashers" / file / "planted").mkdir(parents=True)
        (tmp_path / "crashers" / file / "planted" / file).write_text("spoilt")
    found = hunt(Plan(tuple(PLANTED), crashers=tmp_path / "crashers", patience=2), files, tmp_path / "kept")
    assert {one.given.reader: one.kind for one in found.failures.values()} == {
        file: kind for file, (kind, _) in PLANTED.items()
    }
    assert {path.read_text() for path in (tmp_path / "kept").rglob("*") if path.is_file()} == {"spoilt"}


def test_every_crasher_is_small_and_of_a_reader() -> None:
    for path in CRASHERS.rglob("*"):
        if path.is_file():
            reader, _, *file = path.relative_to(CRASHERS).parts
            assert path.stat().st_size < 4000
            assert "/".join(file) in READERS[reader].files
