"""The server of the page: four folders that no path leaves, for this machine alone, and all that the page imports."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.clients.js.page import PAGE_RUNTIME, WEB, served

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="no node here"),
    pytest.mark.skipif(not PAGE_RUNTIME.exists(), reason="no onnxruntime-web: no npm"),
]

IMPORTED = re.compile(r"""(?:from|import) "([^"]+)";""")


def test_no_path_leaves_the_folders_that_are_served(bundle_path: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_path, bundle)
    (tmp_path / "secret.json").write_text("{}")
    (bundle / "link.json").symlink_to(tmp_path / "secret.json")
    with served(bundle) as site:

        def status(path: str, method: str = "GET", host: str | None = None) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
            connection.putrequest(method, path, skip_host=host is not None)
            if host is not None:
                connection.putheader("Host", host)
            connection.endheaders()
            answer = connection.getresponse()
            answer.read()
            connection.close()
            return answer.status

        for path in (
            "/",
            "/app.mjs",
            "/bundle/manifest.json",
            "/core/index.mjs",
            "/ort/ort.wasm.min.mjs",
        ):
            assert (status(path), status(path, "HEAD")) == (200, 200), path
        for path in (
            "/bundle/../secret.json",
            "/bundle/..%2fsecret.json",
            "/bundle/%2e%2e/secret.json",
            "/bundle//etc/passwd",
            "/bundle/link.json",
            "/bundle/",
            "/bundle",
            "/ort/../package.json",
            "/core/../node/client.mjs",
            "/package.json",
            "/node_modules/.package-lock.json",
            "/none.mjs",
            "//etc/passwd",
            "/%zz",
            "/%00",
        ):
            assert status(path) == 404, path
        assert status("/", "POST") == 405
        for host in ("evil.example", "localhost.evil.example:80", "1.2.3.4.evil.example", ""):
            assert status("/", host=host) == 403, host
        for host in ("localhost", "localhost:8000", "192.168.1.5:8000", "[::1]:8000"):
            assert status("/", host=host) == 200, host


def test_what_a_link_leads_to_is_served_where_it_has_the_hash_of_the_manifest(
    bundle_path: Path, tmp_path: Path
) -> None:
    """As in a cache of blobs."""
    blobs, bundle = tmp_path / "blobs", tmp_path / "snapshots" / "bundle"
    for path in (one for one in bundle_path.rglob("*") if one.is_file()):
        link = bundle / path.relative_to(bundle_path)
        blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
        link.parent.mkdir(parents=True, exist_ok=True)
        blobs.mkdir(exist_ok=True)
        shutil.copyfile(path, blob)
        link.symlink_to(blob)
    (bundle / "onnx" / "stranger.onnx").symlink_to(next(blobs.iterdir()))
    secret = tmp_path / "secret"
    secret.write_bytes(bytes((bundle_path / "onnx" / "all_scores.onnx").stat().st_size))
    (bundle / "onnx" / "all_scores.onnx").unlink()
    (bundle / "onnx" / "all_scores.onnx").symlink_to(secret)
    with served(bundle) as site:
        for name in ("manifest.json", "vocabulary.json", "onnx/top_k.onnx"):
            with urllib.request.urlopen(f"{site.url}bundle/{name}", timeout=10) as answer:
                assert answer.read() == (bundle_path / name).read_bytes()
        for name in ("stranger.onnx", "all_scores.onnx"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{site.url}bundle/onnx/{name}", timeout=10)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one bundle"),
        (("nowhere",), "nowhere/manifest.json is not there; give a bundle"),
        (("{bundle}", "--port", "x"), "node serve.mjs BUNDLE"),
        (("{bundle}", "--colour", "red"), "--colour"),
        (("{bundle}", "--port", "{port}"), "address already in use 127.0.0.1:"),
    ],
)
def test_a_server_that_cannot_start_says_why_in_one_line(
    arguments: tuple[str, ...], words: str, bundle_path: Path
) -> None:
    with served(bundle_path) as site:
        given = [one.format(bundle=bundle_path, port=site.port) for one in arguments]
        command = ["node", WEB / "serve.mjs", *given]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


def modules_of(url: str, text: str, lead: dict[str, str]) -> list[str]:
    """The addresses that a module imports, by the import map `lead`."""
    return [urljoin(url, one) if one.startswith(".") else lead[one] for one in IMPORTED.findall(text)]


def test_every_module_of_the_page_is_served_and_kept_for_offline(bundle_path: Path) -> None:
    page = (WEB / "index.html").read_text()
    (import_map,) = re.findall(r'<script type="importmap">(.*?)</script>', page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(import_map.encode()).digest()).decode()
    assert f"script-src 'self' 'wasm-unsafe-eval' 'sha256-{digest}';" in page
    with served(bundle_path) as site:
        lead = {name: urljoin(site.url, path) for name, path in json.loads(import_map)["imports"].items()}
        waiting, modules = [urljoin(site.url, "app.mjs")], set[str]()
        while waiting:
            url = waiting.pop()
            modules.add(url)
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert answer.headers["Content-Type"] == "text/javascript"
                waiting += set(modules_of(url, answer.read().decode(), lead)) - modules
        (listed,) = re.findall(r"const PAGE = \[(.*?)\];", (WEB / "sw.mjs").read_text(), flags=re.DOTALL)
        kept = {urljoin(site.url, path) for path in re.findall(r'"(.*?)"', listed)}
        others = {urljoin(site.url, path) for path in ("./", "style.css")}
        runtime = {url for url in kept if "/ort/" in url}
        assert kept == modules | others | runtime
        for url in others | runtime:
            urllib.request.urlopen(url, timeout=10).close()
