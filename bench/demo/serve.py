"""A finished demo on a page in the browser, by the web client of the repository: `bst demo --serve`."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from pathlib import Path

from bench.demo.demo import NAMES_FILE
from bst.errors import InputError
from export.contract.rules import read_manifest

WEB = Path(__file__).parents[2] / "clients" / "web"
DEFAULT_PORT = 8000


def require_server(port: int) -> None:
    """Refuse what would keep the page from being served, before any work is done for it.

    Raises:
        InputError: the web client is not here or not installed, there is no Node, or the port is taken.
    """
    if not (WEB / "serve.mjs").is_file():
        raise InputError(f"{WEB} is not there: the page is in the repository, not in the package; install from a clone")
    if shutil.which("node") is None:
        raise InputError("node is not on the path, and serves the page; install Node 20 or later")
    if not (WEB / "node_modules" / "onnxruntime-web").is_dir():
        raise InputError(f"{WEB} lacks onnxruntime-web; run: npm ci --ignore-scripts --prefix {WEB}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Node does: a port just left is free
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise InputError(f"port {port} cannot be used ({error.strerror}); give another --port") from None


def require_demo(out: Path) -> None:
    """Refuse a folder that is not a finished demo with a bundle that this version reads.

    Raises:
        InputError: it is not; the message says what to do.
    """
    for path in (out / "index.html", out / "data" / NAMES_FILE, out / "bundle"):
        if not path.exists():
            raise InputError(f"{out} is not a finished demo: {path} is missing; give another --out or remove it")
    read_manifest(out / "bundle")


def serve_demo(out: Path, port: int) -> int:
    """Serve the bundle of a demo until Ctrl-C or SIGTERM; the server prints its address. Give its exit code."""
    names = out / "data" / NAMES_FILE
    # Polars catches SIGINT in a way that leaves a waiting Python asleep.
    before = {one: signal.signal(one, signal.default_int_handler) for one in (signal.SIGINT, signal.SIGTERM)}
    server = subprocess.Popen(["node", WEB / "serve.mjs", out / "bundle", "--names", names, "--port", str(port)])
    try:
        code = server.wait()
        return 0 if code == -signal.SIGINT else code  # Ctrl-C reaches both, and the server may be the first to end
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()
        for one, handler in before.items():
            signal.signal(one, handler)
