"""Files from strangers: nothing of them is run, nothing outside is read or written, no size is believed."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings

from bst import CheckError, InputError, load_run
from bst.files import JSON_DEPTH, parse_json, read_json
from bst.model import BST
from bst.notebook import NotebookConfig, converted, import_notebook, read_notebook_config
from bst.sizes import stored_bytes
from bst.training_state import STATE_FILE, load_state
from bst.validation import validated
from export import open_bundle, verify_bundle
from export.archives import require_plain
from export.backends import OnnxSession
from export.manifest import read_manifest
from export.onnx_graph import check_onnx
from export.pt2 import load_pt2
from export.torchscript import load_torchscript
from tests.reliability.roads import Road, roads
from tests.reliability.strangers import (
    change_json,
    rewrite_archive,
    rewrite_zip,
    trapped_pickle,
    trapped_weights,
)

NOTEBOOK = {
    "item_embed": {"num_embeddings": 5, "embedding_dim": 4},
    "trans": {"input_size": 4, "hidden_size": 8, "n_layers": 1, "n_heads": 2},
    "context_features": [],
    "max_seq_len": 3,
}
SYSTEM = "torch.serialization.os.system"


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle to spoil, where a trap would leave its mark."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(bundle_path, tmp_path / "copied"))


@pytest.fixture
def run(run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(run_path, tmp_path / "run"))


# ---- nothing is run


@pytest.mark.parametrize("content", [trapped_pickle(), trapped_weights(zipped=True), trapped_weights(zipped=False)])
@pytest.mark.parametrize("name", ["model.safetensors", "heldout.safetensors", STATE_FILE])
def test_a_pickle_in_the_place_of_tensors_is_not_read(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content + bytes(2**17))
    with pytest.raises(InputError, match=rf"{name} is (damaged or cut short|not)"):
        (load_state if name == STATE_FILE else load_run)(run)
    assert not Path("trapped").exists()


@pytest.mark.parametrize("content", [trapped_pickle(), trapped_weights(zipped=True), trapped_weights(zipped=False)])
def test_weights_of_a_notebook_are_tensors_or_nothing(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("best").write_bytes(content)
    Path("config.json").write_text(json.dumps(NOTEBOOK))
    with pytest.raises(InputError, match="cannot be loaded as plain tensors"):
        import_notebook(Path("best"), Path("config.json"), Path("out"))
    assert not Path("trapped").exists()
    assert not Path("out").exists()


def test_a_config_in_python_is_read_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config.py").write_text("import os\nos.system('touch trapped')\nconfig = {'a': os.system('touch trapped')}\n")
    with pytest.raises(InputError, match="holds no notebook config"):
        read_notebook_config(Path("config.py"))
    assert not Path("trapped").exists()


def _weights(change: Callable[[dict[str, Any]], None]) -> Callable[[str, bytes], tuple[str, bytes]]:
    def changed(name: str, data: bytes) -> tuple[str, bytes]:
        if name == "data/weights/all_scores_weights_config.json":
            return name, change_json(data, lambda values: change(next(iter(values["config"].values()))))
        return name, data

    return changed


def _constants(name: str, data: bytes) -> tuple[str, bytes]:
    """Point a constant to a pickle, as torch does for objects of a kind that it does not know."""
    if name == "data/constants/all_scores_constants_config.json":
        return name, change_json(
            data, lambda values: next(iter(values["config"].values())).update(path_name="opaque_obj_0")
        )
    if name == "data/sample_inputs/all_scores.pt":
        return "data/constants/opaque_obj_0", trapped_pickle()
    return name, data


def _program(old: bytes, new: bytes) -> Callable[[str, bytes], tuple[str, bytes]]:
    return lambda name, data: (name, data.replace(old, new) if name == "models/all_scores.json" else data)


PROGRAMS = {
    "weights in the layout of torch 2.7, which is a pickle": (
        lambda name, data: (
            ("data/weights/all_scores.pt", trapped_pickle())
            if name == "data/weights/all_scores_weights_config.json"
            else (name, data)
        ),
        "is pickled, which nothing that bst writes is",
    ),
    "weights that say they are pickled": (
        _weights(lambda entry: entry.update(use_pickle=True)),
        "is pickled, which nothing that bst writes is",
    ),
    "a constant of a kind that torch unpickles": (_constants, "opaque_obj_0 is pickled, which nothing that bst"),
    "a size that is evaluated": (
        _program(b"Symbol('", b"__import__('os').system('touch trapped') or Symbol('"),
        "an expression of sizes holds '__import__'",
    ),
    "an operator that is a function of Python": (
        _program(b"torch.ops.aten.linear.default", SYSTEM.encode()),
        f"it calls '{SYSTEM}', which none that bst writes does",
    ),
    "an operator that writes a file": (
        _program(b"torch.ops.aten.linear.default", b"torch.ops.aten.save.default"),
        r"it calls 'torch\.ops\.aten\.save\.default'",
    ),
    "an operator that reads a file": (
        _program(b"torch.ops.aten.linear.default", b"torch.ops.aten.from_file.default"),
        r"it calls 'torch\.ops\.aten\.from_file\.default'",
    ),
    "a function of operator": (
        _program(b"torch.ops.aten.linear.default", b"_operator.methodcaller"),
        r"it calls '_operator\.methodcaller'",
    ),
}


@pytest.mark.parametrize("harm", PROGRAMS)
def test_a_torch_export_program_calls_arithmetic_or_is_refused(copied: Path, harm: str) -> None:
    change, message = PROGRAMS[harm]
    rewrite_archive(copied / "pt2" / "model.pt2", change)
    with pytest.raises(InputError, match=message):
        load_pt2(copied / "pt2" / "model.pt2", "all_scores")
    assert not Path("trapped").exists()


SCRIPTS = {
    "torch.save": (b"(scorer).newest(bst_seen, )", b'torch.save(bst_seen, "trapped")', "save"),
    "a method of the same name": (b"(scorer).newest(bst_seen, )", b'bst_seen . save("trapped")', "save"),
    "the operator by its namespace": (b"(scorer).newest(bst_seen, )", b'ops.aten.save(bst_seen, "trapped")', "save"),
    "a file that is mapped": (b"(scorer).newest(bst_seen, )", b'torch.from_file("trapped", True, 9)', "from_file"),
    "another thread": (b"(scorer).newest(bst_seen, )", b"fork(bst_seen)", "fork"),
    "an object in C++": (b"scorer : ", b"other : __torch__.torch.classes.profiler.X\n  scorer : ", "torch.classes"),
}


@pytest.mark.parametrize("harm", SCRIPTS)
def test_torchscript_calls_arithmetic_or_is_refused(copied: Path, harm: str) -> None:
    old, new, word = SCRIPTS[harm]
    path = copied / "torchscript" / "model.pt"
    rewrite_archive(
        path, lambda name, data: (name, data.replace(old, new) if name.endswith("torchscript.py") else data)
    )
    with pytest.raises(InputError, match=f"it calls '{word}', which none that bst writes does"):
        load_torchscript(path)
    assert not Path("trapped").exists()


def test_a_pickle_in_torchscript_is_read_by_torch_alone_which_knows_no_python(copied: Path) -> None:
    path = copied / "torchscript" / "model.pt"
    rewrite_archive(path, lambda name, data: (name, trapped_pickle() if name == "data.pkl" else data))
    with pytest.raises(InputError, match="is not a TorchScript file"):
        load_torchscript(path)
    assert not Path("trapped").exists()


# ---- nothing outside


@pytest.mark.parametrize("form", ["torchscript/model.pt", "pt2/model.pt2"])
@pytest.mark.parametrize("name", ["../../outside", "/outside", "model/../../outside", "model\\outside"])
def test_an_archive_with_a_name_that_leads_out_is_refused(copied: Path, form: str, name: str) -> None:
    path = copied / form
    rewrite_zip(path, lambda old, data: (name if old.endswith("data/0") or old.endswith("weight_0") else old, data))
    with pytest.raises(ValueError, match="leads out of the archive"):
        require_plain(path)
    load = load_torchscript if form.startswith("torchscript") else lambda one: load_pt2(one, "top_k")
    with pytest.raises(InputError, match="leads out of the archive"):
        load(path)


@pytest.mark.parametrize("location", ["../outside.bin", "/outside.bin", "linked.bin"])
def test_onnx_weights_outside_of_the_folder_are_refused(copied: Path, location: str) -> None:
    outside = copied.parent / "outside.bin"
    shutil.copy(copied / "onnx" / "weights.bin", outside)
    (copied / "onnx" / "linked.bin").symlink_to(outside)
    stated = {"/outside.bin": str(outside), "../outside.bin": "../../outside.bin"}.get(location, location)
    path = copied / "onnx" / "top_k.onnx"
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = stated
    path.write_bytes(model.SerializeToString())
    signature = read_manifest(copied).signature("top_k")
    with pytest.raises(CheckError, match="is not a valid ONNX model"):
        check_onnx(path, signature)
    with pytest.raises(InputError, match=r"does not load in ONNX Runtime .*(External data path|external data)"):
        OnnxSession(signature, path)


@pytest.mark.parametrize("what", ["onnx/weights.bin", "vocabulary.json", "onnx"])
def test_a_link_out_of_the_bundle_is_refused(copied: Path, what: str) -> None:
    (copied / what).rename(copied.parent / "outside")
    (copied / what).symlink_to(copied.parent / "outside")
    with pytest.raises(InputError, match=rf"{what}.* leads out of the bundle"):
        open_bundle(copied)
    with pytest.raises(CheckError, match=f"neither plain files nor folders: {what}"):
        list(verify_bundle(copied))


def test_a_link_to_nowhere_and_a_pipe_do_not_pass(copied: Path) -> None:
    (copied / "onnx" / "nowhere").symlink_to(copied / "missing")
    with pytest.raises(CheckError, match="neither plain files nor folders: onnx/nowhere"):
        list(verify_bundle(copied))


def test_a_file_that_is_cut_short_is_seen_before_it_is_loaded(copied: Path) -> None:
    path = copied / "torchscript" / "model.pt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"torchscript/model\.pt has [\d,]+ bytes, the manifest says [\d,]+"):
        open_bundle(copied)


# ---- no size is believed


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
    state = BST(road.config).state_dict()
    assert stored_bytes(road.config) == sum(tensor.nbytes for tensor in state.values())
