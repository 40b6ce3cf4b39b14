"""Traps of JavaScript (integers of 64 bits, the rule of parity), and the package in a program."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bst import Dataset, Settings, TrainConfig, read_interactions, train
from export import ExportSettings, export_bundle, open_bundle
from export.contract.parity import TOLERANCE, compare
from export.contract.signatures import Signature, TensorSpec
from tests.builds import Builds
from tests.clients.conftest import JAVASCRIPT, Client
from tests.clients.js.program import javascript
from tests.conftest import FIVE, TINY, OnDemand, write_events

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here")
the_client = pytest.mark.parametrize("client", ["node"], indirect=True)
NPM_INSTALL = ("npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund")
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
Arrays = dict[str, np.ndarray]


def test_the_types_are_right() -> None:
    compiler = JAVASCRIPT / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        pytest.skip("no typescript: npm was not there to install it")
    done = subprocess.run(["node", compiler], cwd=JAVASCRIPT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


@needs_node
def test_json_keeps_integers_of_64_bits() -> None:
    texts = [
        str([2**63 - 1, -(2**63), 2**62 - 3, -(2**40), 2**53 + 1, 0]),
        '{"a 1234567890123456789": "\\"-9223372036854775808,", "b": 0.12345678901234567890, "c": 1.5e-300}',
        '["1234567890123456789", 12345678901234567890123]',
    ]
    program = """
        import { parseJson, toJson } from "JS/core/index.mjs";
        const integers = (value) =>
          JSON.parse(JSON.stringify(value), (_, one) => /^-?\\d{16,}$/.test(one) ? BigInt(one) : one);
        const texts = JSON.parse(await new Response(process.stdin).text());
        console.log(JSON.stringify(texts.map((text) => toJson(integers(parseJson(text))))));
    """
    found = [json.loads(text) for text in javascript(program, texts)]
    assert found[0] == json.loads(texts[0])
    assert found[1] == json.loads(texts[1])
    assert found[2] == [1234567890123456789, 12345678901234567890123]


@pytest.fixture(scope="module")
def huge_ids(builds: Builds) -> OnDemand:
    """Bundles of ids that differ only in bits that a double does not hold, raw and at index level."""

    def make(ids: str) -> Path:
        return builds.get(f"huge-ids-{ids}", lambda folder: _build_huge_ids(folder, ids)) / "bundle"

    return OnDemand(make)


def _build_huge_ids(folder: Path, ids: str) -> None:
    folder.mkdir()
    events = pl.read_csv(write_events(folder / "events.csv"))
    huge = pl.when(pl.col("item_id") % 2 == 0).then(2**62 + pl.col("item_id")).otherwise(-(2**62) - pl.col("item_id"))
    events.with_columns(item_id=huge).write_csv(folder / "events.csv")
    settings = Settings(model=TINY, training=TrainConfig(epochs=1, batch_events=150))
    train(Dataset.build(read_interactions(folder / "events.csv", settings.data)), settings, folder / "run")
    chosen = {"formats": ("onnx",), "signatures": ("top_k", "score_candidates"), "top_k": FIVE.top_k, "ids": ids}
    export_bundle(folder / "run", folder / "bundle", ExportSettings.model_validate(chosen))


@pytest.mark.slow
@the_client
@pytest.mark.parametrize("ids", ["raw", "index"])
def test_ids_of_64_bits_come_out_as_they_went_in(client: Client, ids: str, huge_ids: dict[str, Path]) -> None:
    assert client("verify", huge_ids[ids])[0] == 0
    known = open_bundle(huge_ids[ids]).vocabularies.items.ids.to_list()
    assert any(int(float(one)) != one for one in known)
    code, found, _ = client("recommend", huge_ids[ids], "--history", f"{known[0]},{known[-1]}")
    assert code == 0
    assert set(found["item_ids"]) <= set(known)
    candidates = [*found["item_ids"], known[0] + 1000]
    _, scored, _ = client(
        "score", huge_ids[ids], "--history", f"{known[0]},{known[-1]}", "--candidates", ",".join(map(str, candidates))
    )
    assert scored["candidates"] == candidates
    assert scored["scores"][:-1] == pytest.approx(found["scores"], abs=1e-5)
    assert scored["scores"][-1] is None


@the_client
def test_one_process_says_what_a_process_a_call_says(client: Client, bundle_path: Path, tmp_path: Path) -> None:
    """Other tests ask the one, which is quicker."""
    alone = replace(client, host=None)
    altered = shutil.copytree(bundle_path, tmp_path / "bundle")
    (altered / "onnx" / "top_k.onnx").write_bytes(b"")
    for words, code in ((("recommend", bundle_path), 0), (("verify", altered), 1), (("fly", bundle_path), 2)):
        assert client(*words) == alone(*words)
        assert alone(*words)[0] == code


@the_client
def test_an_id_below_zero_is_no_option(client: Client, bundle_path: Path) -> None:
    assert client("recommend", bundle_path, "--history", "-5,11") == client("recommend", bundle_path, "--history=-5,11")
    assert client("recommend", bundle_path, "--history", "-5,11")[0] == 0


@needs_node
def test_a_client_that_is_not_installed_says_what_to_do(bundle_path: Path, tmp_path: Path) -> None:
    for path in (JAVASCRIPT / "node").glob("*.mjs"):
        shutil.copy(path, tmp_path)
    command = ["node", tmp_path / "client.mjs", "recommend", bundle_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "error: @bst/core is not installed; run `npm ci --ignore-scripts` in the folder of the packages\n"
    )


def signature_of(name: str, width: int, *, text: bool) -> Signature:
    """Only the outputs matter to the rule."""
    outputs = [TensorSpec(name="scores", dtype="float32", shape=("batch", width))]
    if name == "top_k":
        outputs.insert(0, TensorSpec(name="item_ids", dtype="string" if text else "int64", shape=("batch", width)))
    if name == "encode_user":
        outputs = [TensorSpec(name="user_vector", dtype="float32", shape=("batch", width))]
    return Signature(name=name, ids="raw", inputs=(), outputs=tuple(outputs))


def answers(rng: np.random.Generator, name: str, *, text: bool) -> tuple[Signature, Arrays, Arrays]:
    """An answer, with ties and -inf in it, and the same once more with what a runtime or a fault may have changed."""
    batch, width = int(rng.integers(1, 4)), int(rng.choice([1, 5, 14]))
    scores = np.round(rng.normal(size=(batch, width)), 1).astype(np.float32)  # rounded: some are equal
    signature = signature_of(name, width, text=text)
    if name == "encode_user":
        return signature, {"user_vector": scores}, {"user_vector": changed(rng, scores)}
    if rng.random() < 0.3:
        scores[:, -1] = -np.inf
    if name != "top_k":
        extra = {"largest_score": np.full(batch, 3, np.float32)} if name == "score_candidates" else {}
        return signature, {"scores": scores, **extra}, {"scores": changed(rng, scores)}
    scores = -np.sort(-scores, axis=1)
    ids = np.stack([rng.permutation(width) for _ in range(batch)]) + 2**62
    below = (scores[:, -1] - rng.choice([0, 1e-7, 1], batch)).astype(np.float32)
    expected = {"scores": scores, "runner_up": below, "largest_score": np.abs(scores[:, 0])}
    other = ids.copy()
    kind = rng.integers(4)
    if kind == 1 and width > 1:
        place = int(rng.integers(width - 1))
        other[:, [place, place + 1]] = other[:, [place + 1, place]]
    elif kind == 2:
        other[0, -1] = 7
    elif kind == 3:
        other[0, -1] = other[0, 0]
    if text:
        ids, other = (np.array([[f"item-{one}" for one in row] for row in rows], object) for rows in (ids, other))
    return signature, {"item_ids": ids, **expected}, {"item_ids": other, "scores": changed(rng, scores)}


def changed(rng: np.random.Generator, scores: np.ndarray) -> np.ndarray:
    kind = rng.integers(8)
    found = scores + np.float32(rng.choice([0, 1e-7, 4e-6, 1e-3], p=[0.3, 0.3, 0.3, 0.1]))
    if kind == 0:
        found[0, 0] = rng.choice([np.nan, np.inf, -np.inf])
    return found[:, :-1] if kind == 1 and found.shape[1] > 1 else found.astype(np.float32)


def listed(arrays: Arrays) -> dict[str, Any]:
    """What JSON can hold; JavaScript makes typed arrays of it again."""
    return {
        name: {"dims": array.shape, "kind": array.dtype.kind, "data": [str(one) for one in array.ravel()]}
        for name, array in arrays.items()
    }


@needs_node
@pytest.mark.parametrize("name", ["all_scores", "top_k", "score_candidates", "encode_user"])
def test_the_rule_of_parity_is_that_of_python(name: str) -> None:
    rng = np.random.default_rng(0)
    cases = [answers(rng, name, text=bool(number % 2)) for number in range(300)]
    program = """
        import { compare } from "JS/core/index.mjs";
        const numbers = { inf: Infinity, "-inf": -Infinity, nan: NaN };
        const made = {
          i: (data) => BigInt64Array.from(data, BigInt), O: (data) => data,
          f: (data) => Float32Array.from(data, (one) => numbers[one] ?? Number(one)),
        };
        const answer = (given) => Object.fromEntries(
          Object.entries(given).map(([name, { dims, kind, data }]) => [name, { dims, data: made[kind](data) }]));
        const cases = JSON.parse(await new Response(process.stdin).text());
        console.log(JSON.stringify(cases.map(([signature, expected, actual, tolerance]) => {
          const { error, ...told } = compare(signature, answer(expected), answer(actual), tolerance);
          return { error: error === Infinity ? null : error, ...told };
        })));
    """
    given = [(one.model_dump(mode="json"), listed(want), listed(got), TOLERANCE) for one, want, got in cases]
    wanted = [compare(*case, TOLERANCE) for case in cases]
    for found, want in zip(javascript(program, given), wanted, strict=True):
        assert (found["failure"], found["swaps"]) == (want.failure, want.swaps)
        assert found["error"] == (None if np.isinf(want.error) else pytest.approx(want.error, rel=1e-9))
    told: Callable[[str], bool] = lambda words: any(words in (one.failure or "") for one in wanted)  # noqa: E731
    assert told("NaN or inf")
    assert told("is off by")
    assert any(one.failure is None for one in wanted)
    if name == "top_k":
        assert told("names an id twice") or told("scores clearly more")


def run(*command: object, folder: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_program() -> tuple[str, str]:
    """The command that installs the package for a program, and the program."""
    text = (JAVASCRIPT / "README.md").read_text()
    blocks = dict(re.findall(r"```(sh|js)\n(.*?)\n```", text, flags=re.DOTALL))
    return blocks["sh"], blocks["js"]


@pytest.mark.slow
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
        "context 'colour' is no feature of the model; known: gender, region",
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
