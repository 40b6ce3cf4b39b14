"""`bst serve` shows a bundle in the browser, or says in one line why it cannot."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export import page
from tests.conftest import Command, refused

INSTALLED = shutil.which("node") is not None and (page.CLIENTS / "node_modules" / "onnxruntime-web").exists()
NODE = """#!/bin/sh
echo "http://127.0.0.1:9/ shows $2 ($3 $4 $5 $6)"
"""


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clients in JavaScript that look installed, and a Node that says what it is called with, and ends."""
    folder, programs = tmp_path / "js", tmp_path / "bin"
    (folder / "node_modules" / "onnxruntime-web").mkdir(parents=True)
    (folder / "web").mkdir()
    (folder / "web" / "serve.mjs").touch()
    programs.mkdir()
    (programs / "node").write_text(NODE)
    (programs / "node").chmod(0o755)
    monkeypatch.setattr(page, "CLIENTS", folder)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return folder


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind((page.HOST, 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.skipif(not INSTALLED, reason="no onnxruntime-web: npm was not there to install it")
@pytest.mark.parametrize(
    ("host", "sent"),
    [("127.0.0.1", signal.SIGINT), pytest.param("0.0.0.0", signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_a_bundle_is_served_until_a_signal(bundle_path: Path, host: str, sent: signal.Signals) -> None:
    command = [sys.executable, "-m", "bst", "serve", bundle_path, "--host", host, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address, _, told = process.stdout.readline().partition(" ")
            assert told == f"shows {bundle_path} (Ctrl-C ends it)\n"
            for path, content in (("", b"<!doctype html>"), ("bundle/manifest.json", b"{")):
                with urllib.request.urlopen(address + path, timeout=10) as answer:
                    assert answer.read().startswith(content)
        finally:
            process.send_signal(sent)
        try:
            assert process.wait(10) == 0
        finally:
            process.kill()
        assert process.stderr is not None
        assert process.stderr.read() == ""
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=10)


@pytest.mark.parametrize(("at_a_terminal", "browser"), [(True, True), (True, False), (False, True)])
def test_the_browser_opens_for_a_person_at_a_display_who_wants_it(
    clients: Path,
    at_a_terminal: bool,
    browser: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened: list[str] = []
    there = threading.Event()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("sys.stdout.isatty", lambda: at_a_terminal, raising=False)
    monkeypatch.setattr(page.webbrowser, "open", lambda url: (opened.append(url), there.set()))
    assert page.serve_page(Path("B"), port=8001, browser=browser) == 0
    assert capsys.readouterr().out == "http://127.0.0.1:9/ shows B (--host 127.0.0.1 --port 8001)\n"
    wanted = at_a_terminal and browser
    assert there.wait(10 if wanted else 0.05) == wanted
    assert opened == ["http://127.0.0.1:9/"] * wanted


def test_without_a_display_no_browser_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not page._sees_a_display()


def test_a_bundle_that_the_page_cannot_show_is_refused_with_the_remedy(
    variants: dict[str, Path], tmp_path: Path, bst_command: Command
) -> None:
    refused(bst_command("serve", tmp_path), "is not a bundle", "manifest.json")
    refused(bst_command("serve", variants["script_top_k"]), "holds torchscript;", "again with onnx in --formats")
    refused(bst_command("serve", variants["score_candidates"]), "holds score_candidates;", "top_k in --signatures")


def test_a_server_that_cannot_start_is_one_line_with_the_remedy(
    clients: Path, monkeypatch: pytest.MonkeyPatch, bst_command: Command
) -> None:
    monkeypatch.setattr("export.commands.require_page", lambda bundle: None)
    with taken_port() as port:
        refused(bst_command("serve", "B", "--port", port), f"port {port} of 127.0.0.1", "give another --port")
    refused(bst_command("serve", "B", "--port", "70000"), "--port", "70000")
    refused(bst_command("serve", "B", "--host", "no host", "--port", 0), "--host no host", "such as 127.0.0.1")
    refused(bst_command("serve", "B", "--host", "192.0.2.1", "--port", 0), "of 192.0.2.1", "another --port or --host")
    (clients / "node_modules" / "onnxruntime-web").rmdir()
    refused(bst_command("serve", "B"), "npm ci --ignore-scripts --prefix")
    (clients.parent / "bin" / "node").unlink()
    monkeypatch.setenv("PATH", str(clients.parent / "bin"))
    refused(bst_command("serve", "B"), "node is not on the path", "install Node 20")
    (clients / "web" / "serve.mjs").unlink()
    refused(bst_command("serve", "B"), "is not there", "install from a clone")
