"""A bundle on a page in the browser, by the web client of the repository: `bst serve`, and `bst demo --serve`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path

from bst.errors import InputError
from export.contract.rules import read_manifest

CLIENTS = Path(__file__).parents[1] / "clients" / "js"
SERVER = Path("web", "serve.mjs")
HOST, PORT = "127.0.0.1", 8000


def require_server(host: str = HOST, port: int = PORT) -> None:
    """Refuse what would prevent serving the page, before any work is done for it.

    Args:
        port: any that is free, if 0.

    Raises:
        InputError: the web client is not here or not installed, there is no Node, or the port is taken.
    """
    if not (CLIENTS / SERVER).is_file():
        raise InputError(
            f"{CLIENTS / SERVER} is not there: the page is in the repository, not in the package; install from a clone"
        )
    if shutil.which("node") is None:
        raise InputError("node is not on the path, and the page needs it; install Node 20 or later")
    if not (CLIENTS / "node_modules" / "onnxruntime-web").is_dir():
        raise InputError(f"{CLIENTS} lacks onnxruntime-web; run: npm ci --ignore-scripts --prefix {CLIENTS}")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise InputError(f"--host {host} is no address of this machine ({error.strerror}); such as {HOST}") from None
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Node does: a port just left is free
        try:
            probe.bind(address)
        except OSError as error:
            other = "" if host == HOST else " or --host"
            raise InputError(
                f"port {port} of {host} cannot be used ({error.strerror}); give another --port{other}"
            ) from None


def require_page(bundle: Path) -> None:
    """Refuse a bundle that the page cannot show.

    Raises:
        InputError: `bundle` is none that this version reads, lacks onnx or `top_k` (`score_candidates` of a click
            model), or reads several sequences; the message has the remedy.
    """
    manifest = read_manifest(bundle)
    if names := ", ".join(sequence.name for sequence in manifest.model.sequences):
        raise InputError(
            f"the page picks one history, and {bundle} reads {names} beside it; score it with "
            "open_bundle(...).scorer(), bst score, or a client without a page"
        )
    if "onnx" not in manifest.format_names:
        names = ", ".join(manifest.format_names)
        raise InputError(f"the page runs onnx, and {bundle} holds {names}; export again with onnx in --formats")
    signature = "top_k" if manifest.model.scores_catalogue else "score_candidates"
    if signature not in (entries := manifest.format("onnx").entries):
        names = ", ".join(entries)
        raise InputError(
            f"the page asks {signature}, and {bundle} holds {names}; export again with {signature} in --signatures"
        )


def serve_page(bundle: Path, *, host: str = HOST, port: int = PORT, browser: bool = True) -> int:
    """Serve the page of `bundle` until Ctrl-C or SIGTERM, print its address, and return the exit code of the server.

    Args:
        browser: open the page in a browser, if stdout is a terminal and there is a display.
    """
    options = ["--host", host, "--port", str(port)]
    # Polars catches SIGINT in a way that leaves a waiting Python asleep.
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    server = subprocess.Popen(["node", CLIENTS / SERVER, bundle, *options], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        line = server.stdout.readline()  # the address; empty if it could not start
        print(line, end="", flush=True)
        if line and browser and _sees_a_display():
            # In a thread: some browsers return when they are closed.
            threading.Thread(target=webbrowser.open, args=(line.split(" ")[0],), daemon=True).start()
        code = server.wait()
        return 0 if code == -signal.SIGINT else code  # Ctrl-C reaches both, and the server may be the first to end
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _sees_a_display() -> bool:
    """Return whether there is a display for a browser. Without one, a text browser would take over the terminal."""
    displayed = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    return sys.stdout.isatty() and (displayed or sys.platform in ("darwin", "win32"))
