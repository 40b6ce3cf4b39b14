"""`bst demo --serve` shows a finished demo in the browser, or says in one line why it cannot."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from bench.demo import serve as demo_serve
from tests.conftest import Command, refused

INSTALLED = shutil.which("node") is not None and (demo_serve.WEB / "node_modules" / "onnxruntime-web").exists()


@pytest.fixture
def finished(tmp_path: Path, bundle_path: Path) -> Path:
    """What a demo leaves, as far as it is served."""
    folder = tmp_path / "demo"
    (folder / "data").mkdir(parents=True)
    (folder / "index.html").touch()
    (folder / "data" / "names.json").write_text('{"11": "Bananas"}')
    (folder / "bundle").symlink_to(bundle_path)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A web client that looks installed, and a Node that is there."""
    folder = tmp_path / "web"
    (folder / "node_modules" / "onnxruntime-web").mkdir(parents=True)
    (folder / "serve.mjs").touch()
    monkeypatch.setattr(demo_serve, "WEB", folder)
    monkeypatch.setattr(demo_serve.shutil, "which", lambda name: name)
    return folder


@pytest.mark.skipif(not INSTALLED, reason="no onnxruntime-web: npm was not there to install it")
@pytest.mark.parametrize("sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_finished_demo_is_served_until_ctrl_c(finished: Path, sent: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-m", "bst", "demo", "--out", finished, "--serve", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"http://127.0.0.1:{port}/ ")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/names.json", timeout=10) as answer:
                assert json.load(answer) == {"11": "Bananas"}
        finally:
            process.send_signal(sent)
        try:
            assert process.wait(10) == 0
        finally:
            process.kill()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_what_the_page_needs_is_missed_before_anything_is_trained(
    web: Path, tmp_path: Path, bst_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "new"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(bst_command("demo", "--out", out, "--serve", "--port", port), f"port {port}", "give another --port")
    (web / "node_modules" / "onnxruntime-web").rmdir()
    refused(bst_command("demo", "--out", out, "--serve"), "npm ci --ignore-scripts --prefix")
    monkeypatch.setattr(demo_serve.shutil, "which", lambda name: None)
    refused(bst_command("demo", "--out", out, "--serve"), "node is not on the path", "install Node 20")
    (web / "serve.mjs").unlink()
    refused(bst_command("demo", "--out", out, "--serve"), "is not there", "install from a clone")
    assert not out.exists()


def test_a_folder_that_is_no_demo_is_refused(web: Path, finished: Path, bst_command: Command) -> None:
    arguments = ("demo", "--out", finished, "--serve", "--port", free_port())
    (finished / "data" / "names.json").unlink()
    refused(bst_command(*arguments), "is not a finished demo", "names.json is missing", "give another --out")
    (finished / "data" / "names.json").write_text("{}")
    manifest = json.loads((finished / "bundle" / "manifest.json").read_text()) | {"schema_version": 2}
    (finished / "bundle").unlink()
    (finished / "bundle").mkdir()
    (finished / "bundle" / "manifest.json").write_text(json.dumps(manifest))
    refused(bst_command(*arguments), "schema_version=2, this version reads 4.*; export again")


def test_a_port_alone_is_refused(bst_command: Command) -> None:
    refused(bst_command("demo", "--port", 9000), "--port 9000 is where --serve answers; give that too")
