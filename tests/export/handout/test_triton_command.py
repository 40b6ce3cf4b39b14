"""`bst export --triton`: a repository beside a bundle that is there, or that it writes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import export.commands
import export.handout.triton
from bst import InputError
from export import Manifest
from export.contract.rules import read_manifest
from export.contract.signatures import signatures_of_task
from export.handout.triton import export_triton
from tests.conftest import Command, refused


def test_a_bundle_that_is_there_is_served_as_it_is(
    bst_command: Command, variants: dict[str, Path], tmp_path: Path
) -> None:
    code, out, err = bst_command("export", variants["text_ids"], "--triton", tmp_path / "repository")
    assert (code, err) == (0, "")
    assert f"wrote {tmp_path / 'repository'}, a model repository" in out
    assert {path.name for path in (tmp_path / "repository").iterdir()} == {
        *signatures_of_task("next_item"),
        "README.md",
    }


def test_a_new_or_refreshed_bundle_gets_a_repository_at_once(
    bst_command: Command,
    run_path: Path,
    bundle_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def copied(run: Path, bundle: Path, *settings: Any, **options: Any) -> Manifest:
        shutil.copytree(bundle_path, bundle, dirs_exist_ok=True)
        return read_manifest(bundle)

    monkeypatch.setattr(export.commands, "export_bundle", copied)
    monkeypatch.setattr(export.commands, "refresh_bundle", copied)
    bundle = tmp_path / "bundle"
    for option, repository in (("--out", tmp_path / "one"), ("--into", tmp_path / "two")):
        code, out, _ = bst_command("export", run_path, option, bundle, "--triton", repository)
        assert code == 0
        assert out.index(f"wrote {bundle}") < out.index(f"wrote {repository}")
        assert 'name: "top_k"' in (repository / "top_k" / "config.pbtxt").read_text()


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if an export is begun."""

    def begun(*arguments: Any, **options: Any) -> None:
        raise AssertionError("an export was begun")

    monkeypatch.setattr(export.commands, "export_bundle", begun)
    monkeypatch.setattr(export.commands, "refresh_bundle", begun)


@pytest.mark.usefixtures("no_export")
def test_what_cannot_end_well_is_refused_before_an_export_begins(
    bst_command: Command, run_path: Path, variants: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("")
    bundle = tmp_path / "bundle"
    new = ("export", run_path, "--out", bundle)
    refused(bst_command(*new, "--triton", tmp_path / "there"), "there exists; give another --triton")
    refused(bst_command(*new, "--triton", tmp_path / "file" / "x"), "not a writable folder; give another --triton")
    refused(bst_command(*new, "--triton", bundle / "triton"), "one inside the other")
    refused(bst_command(*new, "--triton", bundle), "one inside the other")
    without = bst_command(*new, "--formats", "torchscript,pt2", "--triton", tmp_path / "new")
    refused(without, "needs onnx", "holds torchscript, pt2", "--formats")
    into = ("export", run_path, "--into", variants["raw_ids"])
    refused(bst_command(*into, "--triton", variants["raw_ids"] / "triton"), "one inside the other")
    refused(bst_command(*into, "--triton", tmp_path / "there"), "exists")
    refused(bst_command("export", run_path, "--into", tmp_path, "--triton", tmp_path / "new"), "is not a bundle")
    assert {path.name for path in tmp_path.iterdir()} == {"there", "file"}


@pytest.mark.usefixtures("no_export")
def test_triton_alone_takes_a_bundle_with_onnx_and_no_settings(
    bst_command: Command, run_path: Path, bundle_path: Path, make_bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    target = ("--triton", tmp_path / "repository")
    refused(bst_command("export", run_path, *target), "is not a bundle", "add --out BUNDLE")
    refused(bst_command("export", tmp_path / "nowhere", *target), "nowhere is not a bundle")
    refused(bst_command("export", bundle_path, *target, "--formats", "onnx", "--k", 3), "leave out formats, top_k")
    refused(bst_command("export", bundle_path, *target, "--tune"), "leave out tune")
    refused(bst_command("export", bundle_path, "--triton", bundle_path / "triton"), "one inside the other")
    refused(bst_command("export", make_bundle("torchscript"), *target), "needs onnx", "holds torchscript")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def make_bundle(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A bundle whose manifest names one format."""

    def make(form: str) -> Path:
        folder = tmp_path_factory.mktemp("one_format") / "bundle"
        shutil.copytree(bundle_path, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["formats"] = [one for one in manifest["formats"] if one["name"] == form]
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make


def test_a_bundle_of_the_library_is_refused_in_the_same_words(bundle_path: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match=r"there exists; give another --triton"):
        export_triton(bundle_path, tmp_path / "there")
