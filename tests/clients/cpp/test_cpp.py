"""The C++ headers in somebody else's project: installed and found, or in a folder of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from export import open_bundle
from tests.builds import Builds
from tests.clients.conftest import CPP, IN_CPP, PROGRAMS, Client, build, cpp_environment, one_user
from tests.conftest import Command


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raw_ids", "text_ids", "index"])
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


@pytest.mark.slow
def test_a_project_with_the_library_in_a_folder_brings_its_own_runtime(
    cpp_build: Callable[[str], Path], variants: dict[str, Path], tmp_path: Path
) -> None:
    """Ids are looked up in a vocabulary that is read once."""
    library, source = cpp_build("cpp-onnxruntime"), Path(__file__).parent
    run("cmake", "-S", source, "-B", tmp_path / "build", f"-DBST_FOLDER={library}")
    run("cmake", "--build", tmp_path / "build")
    bundle = tmp_path / "bundle"
    shutil.copytree(variants["index"], bundle)
    before, last = open_bundle(bundle).vocabularies.items.ids.to_list()[6:8]
    answers, *refusals = run(tmp_path / "build" / "own_runtime", bundle, last).splitlines()
    assert answers.split() == [f"'{last}'", f"'{before}'"] * 4
    assert refusals == [
        "context 'colour' is no feature of the model; known: gender, region",
        "gender: 1 is not an id of this model; its ids are text",
    ]


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
