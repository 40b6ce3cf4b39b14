"""Every client judges the manifests of `tests/manifests` as their folders say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clients.conftest import Client
from tests.manifests.write import HERE
from tools import client_schema

BAD_INPUT, FILES_ARE_MISSING = 2, 1


@pytest.mark.parametrize("client", ["node"], indirect=True)
@pytest.mark.parametrize(("folder", "expected"), [("sound", FILES_ARE_MISSING), ("spoilt", BAD_INPUT)])
def test_the_manifests_are_judged_as_their_folder_says(
    client: Client, folder: str, expected: int, tmp_path: Path
) -> None:
    ends = {}
    for path in sorted((HERE / folder).iterdir()):
        shutil.copy(path, tmp_path / "manifest.json")
        code, _, stderr = client("verify", tmp_path)
        assert (stderr.count("\n"), stderr[:7]) == (1, "error: "), path.name
        ends[path.name] = code
    assert ends == dict.fromkeys(ends, expected)


def test_the_clients_in_javascript_hold_the_schema_of_the_manifest() -> None:
    assert client_schema.PAGE.read_text() == client_schema.written(), "run `make schema`"
