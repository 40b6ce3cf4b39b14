"""`bst demo --serve` shows a finished demo by the page of `bst serve`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Command, refused
from tests.export.test_page import clients, taken_port

__all__ = ["clients"]


@pytest.fixture
def finished(tmp_path: Path, bundle_path: Path) -> Path:
    """What a demo leaves, as far as it is served."""
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "index.html").touch()
    (folder / "bundle").symlink_to(bundle_path)
    return folder


def test_a_finished_demo_is_served(clients: Path, finished: Path, bst_command: Command) -> None:
    code, out, err = bst_command("demo", "--out", finished, "--serve", "--port", 0, "--no-browser")
    assert (code, err) == (0, "")
    assert out.endswith(f" shows {finished / 'bundle'} (--host 127.0.0.1 --port 0)\n")


def test_what_the_page_needs_is_missed_before_anything_is_trained(
    clients: Path, tmp_path: Path, bst_command: Command
) -> None:
    out = tmp_path / "new"
    with taken_port() as port:
        refused(bst_command("demo", "--out", out, "--serve", "--port", port), f"port {port}", "give another --port")
    (clients / "node_modules" / "onnxruntime-web").rmdir()
    refused(bst_command("demo", "--out", out, "--serve"), "npm ci --ignore-scripts --prefix")
    assert not out.exists()


def test_a_folder_that_is_no_demo_is_refused(clients: Path, finished: Path, bst_command: Command) -> None:
    arguments = ("demo", "--out", finished, "--serve", "--port", 0)
    (finished / "index.html").unlink()
    refused(bst_command(*arguments), "is not a finished demo", "index.html is missing", "give another --out")
    (finished / "index.html").touch()
    manifest = json.loads((finished / "bundle" / "manifest.json").read_text()) | {"schema_version": 2}
    (finished / "bundle").unlink()
    (finished / "bundle").mkdir()
    (finished / "bundle" / "manifest.json").write_text(json.dumps(manifest))
    refused(bst_command(*arguments), "schema_version=2, this version reads 4.*; export again")


def test_a_port_alone_is_refused(bst_command: Command) -> None:
    refused(bst_command("demo", "--port", 9000), "--port 9000 is where --serve answers; give that too")
