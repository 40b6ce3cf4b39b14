"""`@bst/node` in somebody's own program, and the modules that the page is made of."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.clients.conftest import JAVASCRIPT, Client
from tests.clients.page import PAGE_RUNTIME, WEB, served
from tests.conftest import OnDemand

the_client = pytest.mark.parametrize("client", ["node"], indirect=True)
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here")
NPM_INSTALL = ("npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund")
WITHIN = re.compile(r"""(?:from|import) "([^"]+)";""")
GIVEN = """
import { CheckError, InputError, openBundle, verifyBundle } from "@bst/node";

const bundle = await openBundle(process.argv[2]);
const several = await bundle.recommendAll([{ history: [11, 18n, "25"] }, {}]);
const one = await bundle.recommend({ history: [11, 18, 25] });
const { scores } = await bundle.score({ history: [11], candidates: [18, 19] });
const refused = async (call) => await call.catch((error) => [error instanceof InputError, error.message]);
const wrong = [
  await refused(bundle.recommend({ history: [0.5] })),
  await refused(bundle.recommend({ history: [2 ** 60] })),
  await refused(bundle.recommend({ context: { colour: "red" } })),
  await refused(bundle.recommend({ context: { gender: 7 } })),
];
await bundle.close();
const { ok } = await verifyBundle(process.argv[2]);
const checked = new CheckError() instanceof Error;
console.log(JSON.stringify({ several, one, unknown: scores[1] === -Infinity, wrong, ok, checked }));
"""


def run(*command: object, folder: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_program() -> tuple[str, str]:
    """The command that installs the package for a program, and the program."""
    text = (JAVASCRIPT / "README.md").read_text()
    blocks = dict(re.findall(r"```(sh|js)\n(.*?)\n```", text, flags=re.DOTALL))
    return blocks["sh"], blocks["js"]


@needs_npm
@the_client
def test_the_program_of_the_readme_recommends_from_another_folder(
    client: Client, ml_1m_bundle: Path, tmp_path: Path
) -> None:
    install, program = readme_program()
    words = install.replace("CLIENTS", str(JAVASCRIPT.parent)).split()
    assert words[:2] == ["npm", "install"]
    run(*words, "--offline", folder=tmp_path)
    (tmp_path / "program.mjs").write_text(program.replace('"BUNDLE"', json.dumps(str(ml_1m_bundle))))
    printed = run("node", "program.mjs", folder=tmp_path)
    options = ("--history", "1198,3552", "--context", "gender=F")
    wanted = client("recommend", ml_1m_bundle, *options)[1]["item_ids"]
    ids, *_ = re.findall(r"\[([\d,\s]+)\]", printed)
    assert [int(one) for one in ids.split(",")] == wanted


@needs_npm
@the_client
def test_packed_packages_need_nothing_of_the_clone(client: Client, bundle_path: Path, tmp_path: Path) -> None:
    """But ONNX Runtime, which is linked here instead of fetched."""
    packed = run("npm", "pack", "--silent", "--pack-destination", tmp_path, "./core", "./node", folder=JAVASCRIPT)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "onnxruntime-node").symlink_to(JAVASCRIPT / "node_modules" / "onnxruntime-node")
    run(*NPM_INSTALL, *(f"./{name}" for name in packed.split()), folder=tmp_path)
    assert not (tmp_path / "node_modules" / "@bst" / "core").is_symlink()
    (tmp_path / "program.mjs").write_text(GIVEN)
    found = json.loads(run("node", "program.mjs", bundle_path, folder=tmp_path))
    one = client("recommend", bundle_path, "--history", "11,18,25")[1]
    nobody = client("recommend", bundle_path)[1]
    assert [found["one"]["item_ids"], *(one["item_ids"] for one in found["several"])] == [
        one["item_ids"],
        one["item_ids"],
        nobody["item_ids"],
    ]
    assert found["one"]["scores"] == pytest.approx(one["scores"], abs=1e-6)
    assert (found["unknown"], found["ok"], found["checked"]) == (True, True, True)
    words = (
        "history: '0.5' is not an id of this model",
        "beyond 2 ** 53 give a bigint",
        "context 'colour' is not a feature of the model: gender, region",
        "context gender: '7' is not an id of this model; its ids are text",
    )
    for (is_input_error, message), told in zip(found["wrong"], words, strict=True):
        assert is_input_error
        assert told in message


@the_client
def test_the_vocabulary_is_read_once_a_bundle(client: Client, bundles: OnDemand, tmp_path: Path) -> None:
    program = tmp_path / "program.mjs"
    program.write_text("""
        import fs from "node:fs";
        import { syncBuiltinESMExports } from "node:module";
        let opened = 0;
        const counted = (read) => (path, ...others) => {
          opened += String(path).endsWith("vocabulary.json") ? 1 : 0;
          return read(path, ...others);
        };
        fs.createReadStream = counted(fs.createReadStream);
        fs.promises.readFile = counted(fs.promises.readFile);
        syncBuiltinESMExports();
        const { openBundle } = await import(process.argv[2]);
        const bundle = await openBundle(process.argv[3]);
        for (let call = 0; call < 3; call += 1) await bundle.recommend();
        console.log(opened);
    """)
    index = (JAVASCRIPT / "node" / "index.mjs").as_uri()
    assert run("node", program, index, bundles["index"], folder=tmp_path) == "1\n"
    assert client("bench", bundles["index"], "--calls", 5)[0] == 0


def modules_of(url: str, text: str, lead: dict[str, str]) -> list[str]:
    """The addresses that a module imports, by the import map `lead`."""
    return [urljoin(url, one) if one.startswith(".") else lead[one] for one in WITHIN.findall(text)]


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
@pytest.mark.skipif(not PAGE_RUNTIME.exists(), reason="no onnxruntime-web: no npm")
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
