"""The C++ headers in somebody else's project: installed and found, or in a folder of it."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import open_bundle
from tests.builds import Builds
from tests.clients.conftest import CPP, IN_CPP, PROGRAMS, Client, build, cpp_environment, one_user
from tests.conftest import Command
from tests.manifests.whole import SOUND, every_input


def run(*command: object) -> str:
    done = subprocess.run(
        [*map(str, command)], env=cpp_environment(), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def example(cpp_build: Callable[[str], Path], builds: Builds) -> Path:
    """The example, built far from the library, which is installed and then found by its name."""
    library = cpp_build("cpp-onnxruntime")

    def make(folder: Path) -> None:
        run("cmake", "--install", library / "build", "--prefix", folder / "prefix")
        shutil.copytree(CPP / "example", folder / "example")
        (release,) = library.glob("onnxruntime-*")
        given = (f"-DCMAKE_PREFIX_PATH={folder / 'prefix'}", f"-DORT_ROOT={release}")
        run("cmake", "-S", folder / "example", "-B", folder / "build", *given)
        run("cmake", "--build", folder / "build")

    return builds.get("cpp-example", make) / "build" / "example"


@pytest.mark.parametrize(
    "name", ["text_ids", *(pytest.param(name, marks=pytest.mark.slow) for name in ("raw_ids", "index"))]
)
def test_the_example_recommends_what_bst_recommend_does(
    example: Path, name: str, variants: dict[str, Path], bst_command: Command
) -> None:
    _, history, _, context = one_user(variants[name])
    wanted = json.loads(
        bst_command("recommend", variants[name], "--json", "--history", history, "--context", context)[1]
    )
    words = [one.strip() for one in history.split(",")]
    rows = [line.split("\t") for line in run(example, variants[name], *words, context).splitlines()]
    assert [item for item, _ in rows] == [str(item) for item in wanted["item_ids"]]
    assert [float(score) for _, score in rows] == pytest.approx(wanted["scores"], abs=1e-5)


@pytest.mark.slow
def test_the_example_ends_with_the_exit_codes_of_bst(example: Path, variants: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(variants["raw_ids"], copy)
    (copy / "onnx" / "weights.bin").write_bytes(b"")
    for words, code in ((["/nowhere"], 2), ([], 2), ([str(copy)], 1)):
        done = subprocess.run([example, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)


@pytest.fixture(scope="session")
def own_runtime(cpp_build: Callable[[str], Path], builds: Builds) -> Path:
    """A program of somebody else, which has the library in a folder of its project, and brings its own runtimes."""
    library, source = cpp_build("cpp-onnxruntime"), Path(__file__).parent

    def make(folder: Path) -> None:
        run("cmake", "-S", source, "-B", folder, f"-DBST_FOLDER={library}")
        run("cmake", "--build", folder)

    return builds.get("cpp-own-runtime", make) / "own_runtime"


@pytest.mark.slow
def test_a_project_with_the_library_in_a_folder_brings_its_own_runtime(
    own_runtime: Path, variants: dict[str, Path], tmp_path: Path
) -> None:
    """Ids are looked up in a vocabulary that is read once."""
    bundle = tmp_path / "bundle"
    shutil.copytree(variants["index"], bundle)
    before, last = open_bundle(bundle).vocabularies.items.ids.to_list()[6:8]
    answers, *refusals = run(own_runtime, bundle, last).splitlines()
    assert answers.split() == [f"'{last}'", f"'{before}'"] * 4
    assert refusals == [
        "context 'colour' is no feature of the model; known: request_time, gender, region, age, spent",
        "gender: 1 is not an id of this model; its ids are text",
    ]


VOCABULARY = {
    "items": {"ids": list(range(101, 141))},
    "context": {"gender": {"ids": ["F", "M"]}, "region": {"ids": [1, 2, 3]}},
    "events": {"kind": {"ids": ["buy", "view"]}, "channel": {"ids": [10, 20, 30]}},
}
ANSWER = {"scores": [[2, 1, None, None, None]], "largest_score": [2], "runner_up": [None]}
RECORDED = {
    "raw": {
        "history": [[101]],
        "kind": [["buy"]],
        "channel": [[20]],
        "event_time": [[5]],
        "request_time": [-1],
        "gender": ["F"],
        "region": [2],
        "age": ["NaN"],
        "basket": ["-Infinity"],
    },
    "index": {
        "items": [[1]],
        "events": [[[1, 2]]],
        "event_time": [[5]],
        "request_time": [-1],
        "context": [[1, 2]],
        "numbers": [["Infinity", 0.5]],
    },
}
PRINTED = {
    "raw": (
        "history int64 [1, 3] 101 999 103",
        "kind string [1, 3] view  sold",
        "channel int64 [1, 3] 20 30 0",
        "event_time int64 [1, 3] 1700000000 0 1700000400",
        "request_time int64 [1] 1700000500",
        "gender string [1] F",
        "region int64 [1] 0",
        "age float32 [1] 31.5",
        "basket float32 [1] nan",
        "history int64 [1, 1] 0",
        "kind string [1, 1] ",
        "channel int64 [1, 1] 0",
        "event_time int64 [1, 1] 0",
        "request_time int64 [1] 0",
        "gender string [1] ",
        "region int64 [1] 0",
        "age float32 [1] nan",
        "basket float32 [1] nan",
        "history int64 [1, 1] 101",
        "kind string [1, 1] buy",
        "channel int64 [1, 1] 20",
        "event_time int64 [1, 1] 5",
        "request_time int64 [1] -1",
        "gender string [1] F",
        "region int64 [1] 2",
        "age float32 [1] nan",
        "basket float32 [1] -inf",
    ),
    "index": (
        "items int64 [1, 3] 1 0 3",
        "events int64 [1, 3, 2] 2 2 0 3 0 0",
        "event_time int64 [1, 3] 1700000000 0 1700000400",
        "request_time int64 [1] 1700000500",
        "context int64 [1, 2] 1 0",
        "numbers float32 [1, 2] 31.5 nan",
        "items int64 [1, 1] 0",
        "events int64 [1, 1, 2] 0 0",
        "event_time int64 [1, 1] 0",
        "request_time int64 [1] 0",
        "context int64 [1, 2] 0 0",
        "numbers float32 [1, 2] nan nan",
        "items int64 [1, 1] 1",
        "events int64 [1, 1, 2] 1 2",
        "event_time int64 [1, 1] 5",
        "request_time int64 [1] -1",
        "context int64 [1, 2] 1 2",
        "numbers float32 [1, 2] inf 0.5",
    ),
}
REFUSED = (
    "context 'colour' is no feature of the model; known: request_time, gender, region, age, basket",
    "events 'age' is no feature of the model; known: kind, channel, event_time",
    "events 'kind' has 2 values, and the history 3; give one for each item",
    "channel: 'web' is not an id of this model; its ids are integers of 64 bits",
    "event_time: 0.5 is no time in seconds since 1970; leave it out where it is not known",
    "request_time: 'noon' is no time in seconds since 1970; leave it out where it is not known",
    "region: 2.0 is not an id of this model; its ids are integers of 64 bits",
    "age: 'old' is no number; leave it out where it is not known",
    "age holds -1e+39, beyond float32 (NaN where one is not known); top_k takes ",
)


def bundle_of_every_input(folder: Path, ids: str, recorded: dict[str, Any]) -> Path:
    """Write a bundle of `top_k` alone, whose model is an empty file."""
    manifest = copy.deepcopy(SOUND)
    every_input(manifest)
    (signature,) = (one for one in manifest["signatures"] if (one["name"], one["ids"]) == ("top_k", ids))
    answer = ANSWER | {signature["outputs"][0]["name"]: [[1, 2, 0, 0, 0]]}
    golden = {"cases": [{"name": "full", "inputs": recorded, "outputs": answer}]}
    contents = {
        "model.safetensors": "",
        "onnx/top_k.onnx": "",
        "vocabulary.json": json.dumps(VOCABULARY),
        "golden/top_k.json": json.dumps(golden),
    }
    entries = {"top_k": {"path": "onnx/top_k.onnx"}}
    files = [
        {"path": path, "bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}
        for path, text in contents.items()
    ]
    formats = [manifest["formats"][0] | {"ids": ids, "entries": entries}]
    manifest |= {"signatures": [signature], "formats": formats, "files": files, "output_layer": None}
    for path, text in {**contents, "manifest.json": json.dumps(manifest)}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("ids", ["raw", "index"])
def test_values_of_events_and_of_the_request_reach_a_runtime_and_what_is_left_out_is_unknown(
    own_runtime: Path, ids: str, tmp_path: Path
) -> None:
    """The calls are one with all inputs, one with none, and a recorded one with numbers that JSON lacks."""
    lines = run(own_runtime, bundle_of_every_input(tmp_path, ids, RECORDED[ids])).splitlines()
    assert lines[: len(PRINTED[ids])] == [*PRINTED[ids]]
    verdict, *refusals = lines[len(PRINTED[ids]) :]
    assert verdict == "verify: "
    for refusal, words in zip(refusals, REFUSED, strict=True):
        assert refusal.startswith(words)


@pytest.mark.slow
@pytest.mark.parametrize("number", [None, "nan", "1.5", True])
def test_a_recorded_number_that_is_none_fails(own_runtime: Path, number: object, tmp_path: Path) -> None:
    bundle = bundle_of_every_input(tmp_path, "raw", RECORDED["raw"] | {"age": [number]})
    assert f"verify: {bundle}/golden/top_k.json is not a file of golden vectors (" in run(own_runtime, bundle)


@pytest.mark.slow
def test_the_program_builds_optimized_without_a_warning_and_verifies(
    cpp_build: Callable[[str], Path], bundle_path: Path, tmp_path: Path
) -> None:
    cpp_build("cpp-onnxruntime")  # skips where it cannot be built
    build(tmp_path / "cpp", "cpp-onnxruntime", "Release")
    run(tmp_path / "cpp" / PROGRAMS["cpp-onnxruntime"], "verify", bundle_path)


@IN_CPP
def test_bench_times_calls_of_one_user(client: Client, bundle_path: Path) -> None:
    code, found, stderr = client("bench", bundle_path, "--case", "users_3x7")
    assert (code, found) == (2, None)
    assert stderr == "error: --case users_3x7 is a call for 3 users; give one of one user, such as full\n"
