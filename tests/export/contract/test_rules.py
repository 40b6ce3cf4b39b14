"""The rules of a sound manifest: every manifest of tests/manifests is judged as its folder says."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bst import InputError
from export.contract.manifest import manifest_schema
from export.contract.rules import read_manifest
from tests.manifests.write import HERE, written

SOUND, SPOILT = (sorted((HERE / kind).glob("*.json")) for kind in ("sound", "spoilt"))


def bundle_of(manifest: Path, folder: Path) -> Path:
    (folder / "manifest.json").write_bytes(manifest.read_bytes())
    return folder


def test_the_manifests_are_those_that_are_written() -> None:
    found = {path.relative_to(HERE).as_posix(): path.read_text() for path in (*SOUND, *SPOILT)}
    assert found == written(), "run `python -m tests.manifests.write`"


@pytest.mark.parametrize("manifest", SOUND, ids=lambda path: path.stem)
def test_a_sound_manifest_is_read(manifest: Path, tmp_path: Path) -> None:
    assert read_manifest(bundle_of(manifest, tmp_path)).items.count == 40


@pytest.mark.parametrize("manifest", SPOILT, ids=lambda path: path.stem)
def test_a_spoilt_manifest_is_refused_in_one_line_that_names_the_folder(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{tmp_path}") as caught:
        read_manifest(bundle_of(manifest, tmp_path))
    assert str(caught.value).count("\n") == 0


def test_the_published_schema_takes_every_sound_manifest_and_refuses_what_breaks_its_types() -> None:
    validator = jsonschema.Draft202012Validator(manifest_schema())
    values = {path.stem: path.read_text() for path in (*SOUND, *SPOILT)}
    assert [stem for stem in (path.stem for path in SOUND) if not validator.is_valid(json.loads(values[stem]))] == []
    of_types = [stem for stem in values if stem.startswith("3-")]
    assert [stem for stem in of_types if validator.is_valid(json.loads(values[stem]))] == []
