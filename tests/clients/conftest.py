"""The clients, built, and the bundles that each is proven on."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bench.demo import demo
from bench.demo.kinds import KINDS
from bst import DataConfig, Dataset, Settings, TrainConfig, read_interactions, train
from export import ExportSettings, export_bundle, open_bundle
from export.bundle.folder import replay
from export.contract.rules import read_manifest
from tests.builds import Builds
from tests.clients.ort_root import HEADERS, make_ort_root
from tests.conftest import SHARED, TINY, OnDemand

CLIENTS = Path(__file__).parents[2] / "clients"
JAVASCRIPT = CLIENTS / "js"
ML_1M = SHARED / "ml-1m"
CPP = CLIENTS / "cpp"
PROGRAMS = {"cpp-onnxruntime": "build/bst-onnxruntime", "cpp-libtorch": "build/bst-libtorch"}
CPP_FORMATS = {"cpp-onnxruntime": ("onnx",), "cpp-libtorch": ("torchscript", "aotinductor")}
# Building against torch's headers takes most of a minute; the client shares all but its runtime with the other one.
LIBTORCH = pytest.param("cpp-libtorch", marks=pytest.mark.slow)
IN_CPP = pytest.mark.parametrize("client", ["cpp-onnxruntime", LIBTORCH], indirect=True)
# A process of its own for each call, as its users start it; quick tests ask one after another of one process.
OWN_PROCESS = pytest.param("node-started-anew", marks=pytest.mark.slow)
EVERY = pytest.mark.parametrize("client", ["cpp-onnxruntime", LIBTORCH, "node", OWN_PROCESS], indirect=True)
SOME_USERS = 60  # of the real tables, so that a model is trained in seconds
# What the clients run and call by name.
CALLED = ExportSettings(formats=("onnx", "torchscript"), signatures=("top_k", "score_candidates"))


class Host:
    """A process of Node that runs the commands of the client; see `tests/clients/js/host.mjs`."""

    def __init__(self) -> None:
        command = ["node", Path(__file__).parent / "js" / "host.mjs", (JAVASCRIPT / "node" / "commands.mjs").as_uri()]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, words: list[str]) -> tuple[int, str, str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"words": words, "folder": os.getcwd()}), file=self.process.stdin, flush=True)
        watch = threading.Timer(120, self.process.kill)
        watch.start()
        answer = json.loads(self.process.stdout.readline())
        watch.cancel()
        return answer["code"], answer["out"], answer["err"]

    def close(self) -> None:
        self.process.communicate()


@dataclass(frozen=True)
class Client:
    """A client's command line, the formats that it runs, and who runs it, if not a process a call."""

    name: str
    command: tuple[str, ...]
    formats: tuple[str, ...]
    host: Host | None = None

    def __call__(self, *arguments: object) -> tuple[int, Any, str]:
        """Give exit code, what stands on stdout as JSON, and stderr."""
        words = list(map(str, arguments))
        if self.host:
            code, out, err = self.host.ask(words)
        else:
            done = subprocess.run([*self.command, *words], capture_output=True, text=True, timeout=120, check=False)
            code, out, err = done.returncode, done.stdout, done.stderr
        return code, json.loads(out) if out else None, err


def readme_commands(name: str) -> tuple[str, str]:
    """The two commands with which a client's README begins; that of C++ has two for each program."""
    readme = (CPP if name in PROGRAMS else JAVASCRIPT) / "README.md"
    blocks = re.findall(r"```sh\n(.*?)```", readme.read_text(), flags=re.DOTALL)
    first, second = next(one for one in blocks if PROGRAMS.get(name, "") in one).splitlines()
    return first, second


def one_user(path: Path) -> tuple[str, ...]:
    """Options for a user of this bundle who had two items, one unknown item and one known category."""
    bundle = open_bundle(path)
    ids = bundle.vocabularies.items.ids.to_list()
    stranger = "no-such-item" if bundle.manifest.items.dtype == "string" else 10**12
    options = ("--history", f"{ids[0]}, {stranger},{ids[-1]}")
    for name, vocabulary in list(bundle.vocabularies.context.items())[:1]:
        options += ("--context", f"{name}={vocabulary.ids[0]}")
    return options


def cpp_environment(kind: str = "None") -> dict[str, str]:
    """What a build in C++ finds here, where nlohmann-json is that of PyPI.

    Neither optimized nor for a debugger takes half the time; who follows the README gets a `Release`.
    """
    import nlohmann_json

    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CMAKE_INCLUDE_PATH": str(Path(nlohmann_json.__file__).parent / "include"),
        "CXXFLAGS": "-Werror",
        "CMAKE_BUILD_TYPE": kind,
    }


def build(folder: Path, name: str, kind: str = "None") -> None:
    """Build a C++ program in a copy of the folder, by the command of its README; see `PROGRAMS`."""
    shutil.copytree(CPP, folder, ignore=shutil.ignore_patterns("build"))
    first, _ = readme_commands(name)
    for release in re.findall(r"-DORT_ROOT=(\S+)", first):
        make_ort_root(folder / release)
    done = subprocess.run(
        first, shell=True, cwd=folder, env=cpp_environment(kind), capture_output=True, text=True, check=False
    )
    if "I cannot find the CUDA" in done.stderr:
        pytest.skip("this torch is built with CUDA, and no CUDA toolkit is here to build against it")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def cpp_build(builds: Builds) -> Callable[[str], Path]:
    """A copy of `clients/cpp` in which the program of that name is built."""

    def built(name: str) -> Path:
        if shutil.which("cmake") is None or shutil.which("g++") is None:
            pytest.skip("no cmake or no g++ here")
        if name == "cpp-onnxruntime" and not HEADERS.exists():
            pytest.skip("no C++ headers: npm was not there")
        return builds.get(f"client-{name}", lambda folder: build(folder, name))

    return built


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest, cpp_build: Callable[[str], Path]) -> Client:
    """The client of that name, ready to run; a test asks for it by indirect parameters."""
    name = request.param
    if name.startswith("node"):
        if not (JAVASCRIPT / "node_modules" / "onnxruntime-node").exists():
            pytest.skip("no onnxruntime-node: npm was not there to install it")
        host = request.getfixturevalue("host") if name == "node" else None
        return Client("node", ("node", str(JAVASCRIPT / "node" / "client.mjs")), ("onnx",), host)
    return Client(name, (str(cpp_build(name) / PROGRAMS[name]),), CPP_FORMATS[name])


@pytest.fixture(scope="session")
def demo_bundle(builds: Builds) -> Path:
    """What `bst demo` exports, from its own data, but of a few households, and by a tiny model after one epoch."""
    return builds.get("demo", _build_demo) / "bundle"


def _build_demo(folder: Path) -> None:
    folder.mkdir()
    kind = KINDS.find("next_item")
    demo._write_tables(demo._source(), folder / "data", kind, seed=0)
    households = pl.read_parquet(folder / "data" / "households.parquet").head(SOME_USERS)
    few = pl.read_parquet(folder / "data" / "purchases.parquet").join(households, on="household_id", how="semi")
    few.write_parquet(folder / "data" / "purchases.parquet")
    training = kind.settings.training.model_copy(update={"epochs": 1})
    interactions = read_interactions(
        folder / "data" / "purchases.parquet", kind.settings.data, folder / "data" / "households.parquet"
    )
    model = TINY.model_copy(update={"max_length": kind.settings.model.max_length})
    settings = kind.settings.model_copy(update={"model": model, "training": training})
    train(Dataset.build(interactions), settings, folder / "run")
    export_bundle(folder / "run", folder / "bundle", CALLED)


@pytest.fixture(scope="session")
def ml_1m_bundle(builds: Builds) -> Path:
    """MovieLens-1M: raw ids are int64, two context features are text and one is a number."""
    if not ML_1M.is_dir():
        pytest.skip("the shared MovieLens data is not beside the project")
    return builds.get("ml-1m", _build_ml_1m) / "bundle"


def _build_ml_1m(folder: Path) -> None:
    folder.mkdir()
    pl.read_csv(ML_1M / "interactions.csv.gz").filter(pl.col("user_id") <= SOME_USERS).write_csv(folder / "events.csv")
    data = DataConfig(context=("gender", "age", "occupation"))
    settings = Settings(model=TINY.model_copy(update={"max_length": 50}), training=TrainConfig(epochs=1), data=data)
    train(Dataset.build(read_interactions(folder / "events.csv", data, ML_1M / "users.csv")), settings, folder / "run")
    export_bundle(folder / "run", folder / "bundle", CALLED)


@pytest.fixture(scope="session")
def compiled_bundle(make_run: Callable[..., Path], builds: Builds) -> Path:
    """A model of numbers alone, with machine code of AOTInductor that takes raw ids. Takes a minute."""
    run, settings = make_run("numbers", context=("region",)), ExportSettings(formats=("aotinductor",))
    return builds.get("bundle-compiled", lambda path: export_bundle(run, path, settings))


@pytest.fixture(scope="session")
def reference(bundles: dict[str, Path]) -> Callable[[str, Sequence[str]], dict[str, Any]]:
    """What `bst verify --json` says of a whole bundle, of some of its formats: each replayed once for all clients."""

    @functools.cache
    def replayed(name: str, form: str) -> list[dict[str, Any]]:
        manifest = read_manifest(bundles[name])
        record = manifest.format(form)
        return [vars(replay(bundles[name], manifest, record, one)) for one in manifest.signatures_of(record)]

    def verdict(name: str, formats: Sequence[str]) -> dict[str, Any]:
        manifest = read_manifest(bundles[name])
        held = [one for one in formats if one in manifest.format_names]
        warnings = [f"{one}: {remark}" for one in held for remark in manifest.format(one).needs.remarks]
        verdicts = [one for form in held for one in replayed(name, form)]
        return {"ok": True, "failure": None, "verdicts": verdicts, "warnings": warnings}

    return verdict


@pytest.fixture(scope="session")
def bundles(variants: OnDemand, request: pytest.FixtureRequest) -> OnDemand:
    larger = {"demo": "demo_bundle", "ml_1m": "ml_1m_bundle"}
    return OnDemand(lambda name: request.getfixturevalue(larger[name]) if name in larger else variants[name])
