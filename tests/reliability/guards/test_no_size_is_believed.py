"""Files from strangers: a size that they state is compared with what is there before memory is taken for it."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings

from bst import CheckError, InputError, load_run
from bst.imports.notebook import NotebookConfig, converted
from bst.model import make_model
from bst.system.files import JSON_DEPTH, parse_json, read_json
from bst.system.plain_tensors import read_plain_tensors
from bst.system.validation import validated
from export import open_bundle
from export.formats.torchscript_archive import load_torchscript
from export.sessions.session import TorchSession
from tests.conftest import random_inputs
from tests.reliability.guards.strangers import (
    NOTEBOOK,
    two_in_one,
)
from tests.reliability.properties.roads import Road, roads


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 200 + "]" * 200, '{"a":' * 100 + "1" + "}" * 100])
def test_json_that_is_nested_deep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested deeper than 64|Expecting"):
        parse_json(text)


def test_json_as_deep_as_allowed_is_read() -> None:
    assert parse_json("[" * JSON_DEPTH + "]" * JSON_DEPTH)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1" * 5000])
def test_numbers_that_json_does_not_have_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"stands in it|digits"):
        parse_json(text)


def test_json_of_more_bytes_than_are_read_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with path.open("wb") as stream:
        stream.truncate(2**33)  # of holes: nothing on the disk
    with pytest.raises(InputError, match="has 8,589,934,592 bytes, and at most 67,108,864 are read"):
        read_json(path, "a bundle")


@pytest.mark.parametrize(
    ("size", "value"), [("num_blocks", 10**9), ("num_items", 10**15), ("dim", 2**40), ("max_length", 10**9)]
)
def test_a_config_that_describes_more_than_the_weights_is_refused_before_it_is_built(
    run: Path, size: str, value: int
) -> None:
    config = json.loads((run / "config.json").read_text())
    config["model"][size] = value
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"model\.safetensors is damaged or cut short: it has [\d,]+ bytes"):
        load_run(run)


def test_a_safetensors_header_that_is_longer_than_its_file_is_refused(run: Path) -> None:
    (run / "heldout.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(InputError, match=r"heldout\.safetensors is damaged"):
        load_run(run)


def test_a_tensor_that_repeats_one_number_is_not_taken_at_its_word() -> None:
    """It is four bytes in the file and four terabytes once somebody looks for NaN in it."""
    stated = validated(NotebookConfig, NOTEBOOK, "config")
    weights = {"item_embed.weight": torch.zeros(1).expand(10**6, 10**6)}
    with pytest.raises(InputError, match=r"item_embed\.weight is \[1000000, 1000000\].*does not hold all its numbers"):
        converted(weights, stated, Path("best"))


def test_an_archive_that_unpacks_to_more_than_it_should_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("model/code/x.py", "w") as stream:
        for _ in range(300):
            stream.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(InputError, match="unpacks to more than 268,435,456 bytes"):
        load_torchscript(path)


def test_an_archive_whose_first_bytes_are_something_else_is_refused(copied: Path) -> None:
    """torch looks at the first bytes, Python's reader at the last: a file must not be two things."""
    path = copied / "torchscript" / "model.pt"
    path.write_bytes(b"\0\0\0\0PTMF" + path.read_bytes())
    with pytest.raises(InputError, match="it is not a zip archive"):
        load_torchscript(path)


def test_weights_saved_as_before_torch_1_6_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch takes as many bytes as such a pickle says that a text has."""
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(InputError, match=r"it is not an archive, .* since 1\.6\); save it with torch\.save"):
        read_plain_tensors(path)


def test_weights_that_unpack_to_more_for_torch_alone_are_refused(tmp_path: Path) -> None:
    shown, hidden = tmp_path / "shown.pt", tmp_path / "hidden.pt"
    torch.save({"a": torch.zeros(2)}, shown)
    torch.save({"a": torch.zeros(9)}, hidden)
    shown.write_bytes(two_in_one(shown.read_bytes(), hidden.read_bytes()))
    assert len(torch.load(shown, weights_only=True)["a"]) == 9
    with pytest.raises(InputError, match="its directory can be read in two ways"):
        read_plain_tensors(shown)
    assert read_plain_tensors(hidden)["a"].shape == (9,)


GIVEN: dict[str, tuple[tuple[torch.Tensor, ...], str]] = {
    "three": ((torch.ones(1, 5, dtype=torch.int64), torch.ones(1, 5), torch.ones(1)), r"int64 \[1, 5\], .*, .* \[1\]"),
    "one": ((torch.ones(1, 5),), r"float32 \[1, 5\]"),
    "none": ((), "nothing"),
    "another rank": ((torch.ones(5, dtype=torch.int64), torch.ones(5)), r"int64 \[5\], float32 \[5\]"),
    "another size": ((torch.ones(1, 4, dtype=torch.int64), torch.ones(1, 4)), r"int64 \[1, 4\], float32 \[1, 4\]"),
    "another dtype": ((torch.ones(1, 5), torch.ones(1, 5)), r"float32 \[1, 5\], float32 \[1, 5\]"),
}


@pytest.mark.parametrize("what", GIVEN)
def test_a_program_that_gives_something_else_than_stated_is_refused(bundle_path: Path, what: str) -> None:
    given, told = GIVEN[what]
    bundle = open_bundle(bundle_path)
    session = TorchSession(bundle.manifest.signature("top_k"), lambda *_: given)
    with pytest.raises(CheckError, match=rf"it gives {told}, not item_ids int64 .*; export again"):
        session(random_inputs(bundle_path, 1, 3))


@pytest.mark.parametrize("name", ["items", "context"])
def test_held_out_rows_of_another_kind_are_refused(run: Path, name: str) -> None:
    path = run / "heldout.safetensors"
    rows = safetensors.torch.load_file(path)
    rows[name] = rows[name].to(torch.float32)
    safetensors.torch.save_file(rows, path)
    with pytest.raises(InputError, match=rf"holds torch\.float32 .* as {name}, not int64"):
        load_run(run)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(roads())
def test_the_bytes_of_a_model_are_known_before_it_is_built(road: Road) -> None:
    state = make_model(road.config).state_dict()
    assert road.config.stored_bytes == sum(tensor.nbytes for tensor in state.values())
