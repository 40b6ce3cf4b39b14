"""Files from strangers: nothing of them is run."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from bst import InputError, load_run
from bst.imports.notebook import import_notebook, read_notebook_config
from bst.run.folder import STATE_FILE
from bst.run.state_file import load_state
from export.formats.torchscript_archive import load_torchscript
from tests.reliability.guards.strangers import (
    NOTEBOOK,
    rewrite_archive,
    trapped_pickle,
    trapped_weights,
    two_in_one,
)


def test_a_trap_that_is_run_leaves_its_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not Path("trapped").exists()
    pickle.loads(trapped_pickle())
    assert Path("trapped").exists()


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


STATEMENTS = {
    b'torch.save(bst_seen, "trapped")': "aten::save",
    b'torch.save(1, "trapped")': "aten::save",  # what is constant may be computed while it is read
    b'ops.aten.save(bst_seen, "trapped")': "aten::save",
    b'getattr(torch, "save")(bst_seen, "trapped")': "aten::save",
    b'getattr(ops.aten, "sa" "ve")(bst_seen, "trapped")': "aten::save",
    b'getattr(torch, "s\\141ve")(bst_seen, "trapped")': "aten::save",
    b'bst_seen = torch.from_file("trapped", True, 9)': "aten::from_file",
    b"bst_seen = torch.wait(fork((scorer).newest, bst_seen))": "prim::fork",
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_torchscript_calls_arithmetic_or_is_refused(copied: Path, statement: bytes) -> None:
    _insert(copied, b"bst_vectors = (scorer)", statement + b"\n    ")
    with pytest.raises(InputError, match=f"it calls '{STATEMENTS[statement]}', which none that bst writes does"):
        load_torchscript(copied / "torchscript" / "model.pt")
    assert not Path("trapped").exists()


AT_READING = {
    r"torch\.classes": (b"scorer : ", b"other : __torch__.torch.classes.profiler.X\n  "),
    r"\\\\\\n": (b"scorer : ", b"other : __torch__.torch.\\\nclasses.profiler.X\n  "),
    "#": (b"scorer : ", b"other : (__torch__.torch.#x\nclasses.profiler.X)\n  "),
    "__setstate__": (
        b"  def ",
        b'  def __setstate__(self, state: int) -> None:\n    torch.save(torch.zeros([1]), "trapped")\n',
    ),
}


@pytest.mark.parametrize("word", AT_READING)
def test_torchscript_that_runs_while_it_is_read_is_refused(copied: Path, word: str) -> None:
    _insert(copied, *AT_READING[word])
    with pytest.raises(InputError, match=f"holds '{word}', which none that bst writes does"):
        load_torchscript(copied / "torchscript" / "model.pt")
    assert not Path("trapped").exists()


def test_torchscript_that_torch_reads_otherwise_than_python_is_refused(copied: Path) -> None:
    path = copied / "torchscript" / "model.pt"
    shown = path.read_bytes()
    _insert(copied, *AT_READING["__setstate__"])
    path.write_bytes(two_in_one(shown, path.read_bytes()))
    code = torch._C.PyTorchFileReader(str(path)).get_record("code/__torch__/export/formats/torchscript_archive.py")
    assert b"__setstate__" in code  # that is what torch would run
    with pytest.raises(InputError, match="its directory can be read in two ways"):
        load_torchscript(path)
    assert not Path("trapped").exists()


def _insert(bundle: Path, place: bytes, code: bytes) -> None:
    """Put code before all places of the module that the bundle's methods stand in."""

    def changed(name: str, data: bytes) -> tuple[str, bytes]:
        return name, data.replace(place, code + place) if name.endswith("/torchscript_archive.py") else data

    rewrite_archive(bundle / "torchscript" / "model.pt", changed)


@pytest.mark.parametrize("suffix", [".PY", ".txt"])
def test_code_of_torchscript_stands_where_torchscript_writes_it(copied: Path, suffix: str) -> None:
    path = copied / "torchscript" / "model.pt"
    rewrite_archive(path, lambda name, data: (name.replace("torchscript_archive.py", f"torchscript{suffix}"), data))
    with pytest.raises(InputError, match="is none that TorchScript writes"):
        load_torchscript(path)


def test_a_pickle_in_torchscript_is_read_by_torch_alone_which_knows_no_python(copied: Path) -> None:
    path = copied / "torchscript" / "model.pt"
    rewrite_archive(path, lambda name, data: (name, trapped_pickle() if name == "data.pkl" else data))
    with pytest.raises(InputError, match="is not a TorchScript file"):
        load_torchscript(path)
    assert not Path("trapped").exists()
