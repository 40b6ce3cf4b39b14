"""The server of the page: two folders that no path leaves, for this machine alone."""

from __future__ import annotations

import http.client
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clients.page import PAGE_RUNTIME, WEB, served

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="no node here"),
    pytest.mark.skipif(not PAGE_RUNTIME.exists(), reason="no onnxruntime-web: no npm"),
]


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
            "/names.json",
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
        assert status("/", host="evil.example") == 403
        assert status("/") == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one bundle"),
        (("nowhere",), "nowhere/manifest.json is not there; give a bundle"),
        (("{bundle}", "--port", "x"), "node serve.mjs BUNDLE"),
        (("{bundle}", "--names", "none.json"), "none.json is not there"),
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
