"""Files from strangers: nothing outside of their folder is read or written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import onnx
import pytest

from bst import CheckError, InputError
from export import open_bundle, verify_bundle
from export.contract.rules import read_manifest
from export.formats.onnx.check import check_onnx
from export.formats.pt2_archive import load_pt2
from export.formats.torchscript_archive import load_torchscript
from export.guards.archives import require_plain
from export.handout.triton import export_triton
from export.sessions.session import OnnxSession
from tests.reliability.guards.strangers import rewrite_zip, seal, two_in_one


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


@pytest.mark.parametrize(("form", "name"), [("torchscript/model.pt", "VERSION"), ("pt2/model.pt2", "Archive_Version")])
def test_an_archive_with_a_name_twice_but_for_its_case_is_refused(copied: Path, form: str, name: str) -> None:
    """torch finds a member whatever the case of its name."""
    path = copied / form
    rewrite_zip(path, lambda old, data: (old.replace("byteorder", name), data))
    with pytest.raises(ValueError, match="a member comes twice"):
        require_plain(path)


def test_an_archive_with_its_directory_elsewhere_than_at_its_end_is_refused(copied: Path) -> None:
    path = copied / "torchscript" / "model.pt"
    content = path.read_bytes()
    for spoilt in (content + bytes(9), content[:-2] + b"\1\0 ", two_in_one(content, content)):
        path.write_bytes(spoilt)
        with pytest.raises(InputError, match="its directory can be read in two ways"):
            load_torchscript(path)


def test_an_archive_of_nothing_is_refused_in_a_line(copied: Path) -> None:
    path = copied / "torchscript" / "model.pt"
    path.write_bytes(b"PK\3\4PK\5\6" + bytes(18))
    with pytest.raises(InputError, match="is not a TorchScript file of bst"):
        load_torchscript(path)


@pytest.mark.parametrize("location", ["../outside.bin", "/outside.bin"])
def test_onnx_weights_outside_of_the_folder_are_refused(copied: Path, location: str) -> None:
    outside = copied.parent / "outside.bin"
    shutil.copy(copied / "onnx" / "weights.bin", outside)
    stated = {"/outside.bin": str(outside), "../outside.bin": "../../outside.bin"}[location]
    path = _point_weights(copied, stated)
    signature = read_manifest(copied).signature("top_k")
    with pytest.raises(CheckError, match="is not a valid ONNX model"):
        check_onnx(path, signature)
    with pytest.raises(InputError, match=r"does not load in ONNX Runtime .*(External data path|external data)"):
        OnnxSession(signature, path)


@pytest.mark.parametrize("location", ["../outside.bin", "../../../outside.bin", "/outside.bin", "linked.bin"])
def test_a_repository_for_triton_takes_no_weights_but_those_of_the_manifest(copied: Path, location: str) -> None:
    target = copied.parent / "repository"
    _point_weights(copied, location)
    seal(copied)
    before = sorted(copied.parent.iterdir())
    with pytest.raises(CheckError, match=r"onnx/top_k\.onnx names weights that are no files of its bundle: "):
        export_triton(copied, target)
    assert sorted(copied.parent.iterdir()) == before


def _point_weights(bundle: Path, location: str) -> Path:
    """Let `top_k.onnx` say that its weights are at `location`."""
    path = bundle / "onnx" / "top_k.onnx"
    model = onnx.load(str(path), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("what", ["onnx/weights.bin", "vocabulary.json", "onnx"])
def test_what_a_link_out_of_the_bundle_leads_to_must_have_the_hash_of_the_manifest(copied: Path, what: str) -> None:
    outside = copied.parent / "outside"
    (copied / what).rename(outside)
    (copied / what).symlink_to(outside)
    open_bundle(copied)
    spoilt = outside / "weights.bin" if outside.is_dir() else outside
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match=rf"{what}.* is altered: sha256 "):
        open_bundle(copied)
    with pytest.raises(CheckError, match=rf"{what}.* is altered: sha256 "):
        list(verify_bundle(copied))


def test_a_link_to_nowhere_is_a_missing_file_and_a_pipe_is_none(copied: Path) -> None:
    weights = copied / "onnx" / "weights.bin"
    weights.unlink()
    weights.symlink_to(copied / "nowhere")
    with pytest.raises(CheckError, match=r"onnx/weights\.bin is missing"):
        list(verify_bundle(copied))
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(CheckError, match=r"onnx/weights\.bin is not a file"):
        list(verify_bundle(copied))
    with pytest.raises(InputError, match=r"onnx/weights\.bin is not a file"):
        open_bundle(copied)


def test_a_file_that_is_cut_short_is_seen_before_it_is_loaded(copied: Path) -> None:
    path = copied / "torchscript" / "model.pt"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=r"torchscript/model\.pt is altered: it has [\d,]+ bytes, the manifest says [\d,]+"
    ):
        open_bundle(copied)
