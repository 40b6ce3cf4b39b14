"""Small data with known properties, and trained runs and their bundles that the tests share."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shutil
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before torch is there, and for every process that a test starts: models as small as these lose by a second thread,
# which waits in a loop, and much where the cores are not theirs alone.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TORCH_FAKE_TENSOR_DISPATCH_CACHE", "0")  # it costs more than it gives to so few operators
os.environ.pop("COLUMNS", None)  # tables that a test reads have all their columns
# The README of a bundle says when it was exported, and exports on both sides of midnight are compared.
os.environ.setdefault("SOURCE_DATE_EPOCH", "1700000000")

import numpy as np
import polars as pl
import pytest
import torch

import bst.system.processes
from bst import Architecture, DataConfig, Dataset, Settings, TrainConfig, read_interactions, train
from bst.run.state_file import load_state
from export import ExportSettings, TopK, export_bundle, open_bundle
from export.proof.edges import edge_values
from export.proof.golden import Call
from tests.browser import CHROMIUM, QUIET
from tests.bst.imports.fuxi_folder import IMPORTS
from tests.builds import Builds

if TYPE_CHECKING:
    from tests.reliability.doors.place import Place

# Processes that the package starts are forked from one that has the libraries loaded: importing them takes seconds.
bst.system.processes.START_METHOD = "forkserver"
multiprocessing.set_forkserver_preload(
    ["bench.harness.workers", "torch.export.pt2_archive", "torch._inductor.codecache"]
)

LOADED_BY_AN_EXPORT = (
    *("torch.export.pt2_archive", "torch._inductor.codecache"),
    *("onnxscript.function_libs.torch_lib.ops", "torch.onnx._internal.exporter._core"),
)

THREADS = torch.get_num_threads()
TINY = Architecture(
    dim=16, num_heads=2, num_blocks=1, ff_width=32, max_length=12, head_widths=(24,), context_dim=4, tied_output=False
)
FIVE = ExportSettings(top_k=TopK(limit=5))


def exporting(limit: int = 5, **changes: object) -> ExportSettings:
    return ExportSettings.model_validate({"top_k": {"limit": limit}, **changes})


RUNS: dict[str, dict[str, Any]] = {
    "no_context": {"context": (), "places": "none", "norm": "none", "activation": "leaky_relu"},
    "tied_mean": {
        **{"tied_output": True, "head_widths": (), "pooling": "mean", "context": ("region",)},
        **{"places": "oldest", "place_vectors": "learned", "attention_biases": True, "activation": "gelu"},
        "beside": ("step",),
    },
    "length_one": {"num_blocks": 2, "max_length": 1, "context": ()},
    "clicks": {"task": "click", "pooling": "target", "context": ("gender",), "beside": ("kind",)},
}
SCORING: dict[str, Any] = {"formats": ("onnx", "torchscript"), "signatures": ("score_candidates",)}
ASKED = TopK(limit=8, k_is_input=True, exclude_history=True)
VARIANTS = {
    "text_ids": ("text_ids", exporting(formats=("onnx", "torchscript"))),
    "index": ("text_ids", exporting(ids="index", formats=("onnx", "torchscript"))),
    "index_no_context": (
        "no_context",
        ExportSettings(
            top_k=TopK(limit=38, exclude_history=True),
            ids="index",
            formats=("onnx", "torchscript"),
            signatures=("all_scores", "top_k"),
        ),
    ),
    "numbers_k_input": ("tied_mean", ExportSettings(top_k=ASKED, formats=("onnx", "torchscript"))),
    "numbers_program": ("tied_mean", ExportSettings(top_k=ASKED, formats=("pt2",), signatures=("all_scores", "top_k"))),
    "numbers_whole": ("tied_mean", ExportSettings(top_k=ASKED)),  # for slow tests
    "length_one": ("length_one", exporting(formats=("onnx", "torchscript"), signatures=("top_k",))),
    "length_one_program": ("length_one", exporting(formats=("pt2",), signatures=("top_k",))),  # for slow tests
    "score_candidates": ("shared", exporting(**SCORING, golden="full")),
    "score_candidates_program": ("shared", exporting(formats=("pt2",), signatures=("score_candidates",))),
    "onnx_top_k": ("shared", exporting(3, formats=("onnx",), signatures=("top_k",), golden="full")),
    "clicks": ("clicks", exporting(formats=("onnx", "torchscript"))),
    "clicks_program": ("clicks", exporting(formats=("pt2",))),
    **{name: (name, exporting(**SCORING)) for name in IMPORTS},
    **{f"{name}_index": (name, exporting(**SCORING, ids="index")) for name in IMPORTS},
    "script_top_k": ("shared", exporting(3, formats=("torchscript",), signatures=("top_k",))),
}


def settings_of(variant: str) -> ExportSettings:
    """What a bundle of `variants` is exported with."""
    return VARIANTS[variant][1] if variant in VARIANTS else FIVE


def held_by(variant: str) -> tuple[str, ...]:
    return settings_of(variant).signatures


Command = Callable[..., tuple[int, str, str]]
SHARED = Path(__file__).parents[1].parent / "shared" / "data"


# Fixtures with a bundle, or a program of a client, behind them: a test that asks for one is marked `bundle`.
BUNDLES = {"bundle_path", "variants", "small_bundle", "place", "files"}
BUNDLES |= {"single", "client", "bundles", "compiled_bundle", "demo_bundle", "ml_1m_bundle", "huge_ids"}


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "how many times as many models are drawn, processes killed and files spoilt by the slow tests"
    parser.addoption("--times", type=int, default=1, help=told)


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--times"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if BUNDLES & set(getattr(item, "fixturenames", ())):
            item.add_marker("bundle")
    # Files are handed out in this order, so that the long ones do not come last and leave the other cores idle.
    bundles = Counter(item.path for item in items if item.get_closest_marker("bundle"))
    items.sort(key=lambda item: -bundles[item.path])


def pytest_collection_finish() -> None:
    """Take what the libraries consist of out of the garbage collector's rounds: a fifth of an export is spent there."""
    for name in LOADED_BY_AN_EXPORT:
        with suppress(ImportError):
            import_module(name)
    with suppress(ImportError):
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        # torch looks up its table of operators anew for each ONNX file, and no export changes it.
        ONNXRegistry.from_torchlib = staticmethod(cache(ONNXRegistry.from_torchlib))  # type: ignore[method-assign]
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True)
def as_many_threads() -> None:
    """Let no test compute with the threads that one before it left: the last bits depend on how many there are."""
    torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def no_unmarked_bundle(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a quick test that exports in this process and does not say so by the marker `bundle`."""
    if not {one.name for one in request.node.iter_markers()} & {"bundle", "slow"}:
        told = "this test exports a bundle: mark it with `bundle`"
        monkeypatch.setattr("export.bundle.exporter._write", lambda *given: pytest.fail(told))


def write_events(path: Path, *, users: int = 60, items: int = 40, text: bool = False, seed: int = 0) -> Path:
    """Random events of 3 to 20 a user, with item ids that are neither dense nor sorted."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 21, users)
    ids = rng.permutation(items) * 7 + 11
    rows = {
        "user_id": np.repeat(np.arange(1, users + 1), counts),
        "item_id": ids[rng.integers(0, items, counts.sum())],
        "timestamp": rng.permutation(counts.sum()),
    }
    frame = pl.DataFrame(rows)
    if text:
        frame = frame.with_columns(item_id=pl.format("item-{}", "item_id"))
    frame.write_csv(path)
    return path


def write_users(path: Path, *, users: int = 60) -> Path:
    """Users with a text feature, partly unknown, and a numeric one."""
    numbers = np.arange(1, users + 1)
    gender = [None if number % 5 == 0 else "FM"[number % 2] for number in numbers]
    pl.DataFrame({"user_id": numbers, "gender": gender, "region": numbers % 3 + 4}).write_csv(path)
    return path


def write_beside(folder: Path, *, users: int = 60, items: int = 40, text: bool = False) -> tuple[Path, Path]:
    """Events with a clock, a kind, a step and an amount, and users with an age; most are partly unknown."""
    folder.mkdir(exist_ok=True)
    events, people = folder / "events_beside.csv", folder / "users_beside.csv"
    frame = pl.read_csv(write_events(events, users=users, items=items, text=text))
    count = len(frame)
    kinds, amounts = np.arange(count) % 7, np.random.default_rng(5).normal(20.0, 9.0, count).round(2)
    frame.with_columns(
        timestamp=1_600_000_000 + pl.col("timestamp") * 977,
        step=pl.Series(kinds % 3 + 5),
        kind=pl.Series(["buy" if kind < 2 else "view" if kind < 6 else None for kind in kinds]),
        spent=pl.Series([None if place % 9 == 0 else amount for place, amount in enumerate(amounts)]),
    ).write_csv(events)
    numbers = np.arange(1, users + 1)
    ages = pl.Series([None if number % 4 == 0 else 18 + number % 50 for number in numbers])
    pl.read_csv(write_users(people, users=users)).with_columns(age=ages).write_csv(people)
    return events, people


@pytest.fixture(scope="session")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Builds:
    """What all workers share."""
    folder = tmp_path_factory.getbasetemp()
    return Builds((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "builds")


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tables")
    return write_events(folder / "events.csv"), write_users(folder / "users.csv")


@pytest.fixture(scope="session")
def make_run(builds: Builds) -> Callable[..., Path]:
    """Train a tiny model on random events and give its run. The same name stands for the same arguments everywhere."""

    def make(
        name: str,
        *,
        text: bool = False,
        items: int = 40,
        context: tuple[str, ...] = ("gender", "region"),
        beside: tuple[str, ...] = (),
        **sizes: object,
    ) -> Path:
        def build(folder: Path) -> None:
            events, users = write_beside(folder, items=items, text=text)
            if not beside:
                events = write_events(folder / "events.csv", items=items, text=text)
                users = write_users(folder / "users.csv")
            data = DataConfig(context=context, event_features=beside, numbers=("age", "spent") if beside else ())
            times = {"event_times": "to_next"} if beside else {}
            settings = Settings(
                model=TINY.model_copy(update={**sizes, **times}),
                training=TrainConfig(epochs=1, batch_events=150),
                data=data,
            )
            interactions = read_interactions(events, settings.data, users, times=bool(beside))
            train(Dataset.build(interactions), settings, folder / "run")

        return builds.get(f"run-{name}", build) / "run"

    return make


@pytest.fixture(scope="session")
def run_path(make_run: Callable[..., Path]) -> Path:
    return make_run("shared")


@pytest.fixture(scope="session")
def bundle_path(builds: Builds, run_path: Path) -> Path:
    """A bundle of all that is exported by default, with context of text and of numbers; beside it, what was printed."""
    return builds.get("bundle-raw_ids", lambda folder: _export_by_command(run_path, folder, "--k", "5")) / "bundle"


def _export_by_command(run: Path, folder: Path, *options: str) -> None:
    from bst.cli import run as run_command

    folder.mkdir()
    with (folder / "printed.txt").open("w") as printed, redirect_stdout(printed):
        assert run_command(["export", str(run), "--out", str(folder / "bundle"), *options]) == 0


@pytest.fixture
def bst_command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command `bst` in this process: exit code, stdout, stderr."""
    from bst.cli import run

    def call(*arguments: object) -> tuple[int, str, str]:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            code = run([str(one) for one in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, for tests that are marked `NEEDS_CHROMIUM`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


def random_inputs(
    path: Path, batch: int, length: int, *, n: int = 5, signature: str = "all_scores"
) -> dict[str, np.ndarray]:
    """Random inputs of a bundle at its level: items and candidates in range and padding, categories known or not."""
    bundle = open_bundle(path)
    rng = np.random.default_rng(batch * 1000 + length)
    manifest = bundle.manifest
    items = rng.integers(0, manifest.items.count + 1, (batch, length))
    context = np.zeros((batch, len(manifest.context)), dtype=np.int64)
    for column, facts in enumerate(manifest.context.values()):
        context[:, column] = rng.integers(0, facts.count + 1, batch)
    candidates = rng.integers(0, manifest.items.count + 1, (batch, n))
    beside = edge_values(manifest.model, items.shape, rng)
    case = Call("random", items, context, candidates, max(1, manifest.settings.top_k.limit - 1), beside)
    return case.inputs(manifest.signature(signature), bundle.vocabularies)


@pytest.fixture(scope="session")
def text_run(make_run: Callable[..., Path]) -> Path:
    return make_run("text_ids", text=True, beside=("kind", "step"))


class OnDemand(dict[str, Path]):
    """Bundles by name, each made when it is first asked for."""

    def __init__(self, make: Callable[[str], Path]) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, name: str) -> Path:
        self[name] = self.make(name)
        return self[name]


@pytest.fixture(scope="session")
def run_of(make_run: Callable[..., Path], text_run: Path, builds: Builds) -> Callable[[str], Path]:
    """The run that a variant is exported from."""

    @cache
    def run(name: str) -> Path:
        if name in IMPORTS:
            return builds.get(f"run-{name}", IMPORTS[name]) / "run"
        return text_run if name == "text_ids" else make_run(name, **RUNS.get(name, {}))

    return run


@pytest.fixture(scope="session")
def variants(run_of: Callable[[str], Path], request: pytest.FixtureRequest, builds: Builds) -> OnDemand:
    """Bundles that differ in all that the export has to tell apart; `raw_ids` has a context of text, `numbers` none."""

    def make(name: str) -> Path:
        if name == "raw_ids":
            return request.getfixturevalue("bundle_path")
        of, settings = VARIANTS[name]
        if name == "numbers_k_input":
            options = ("--max-k", "8", "--exclude-history", "--formats", "onnx,torchscript")
            return builds.get(f"bundle-{name}", lambda path: _export_by_command(run_of(of), path, *options)) / "bundle"
        return builds.get(f"bundle-{name}", lambda path: export_bundle(run_of(of), path, settings))

    return OnDemand(make)


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The folder in which the rows of tests/reliability/doors/bad_input.md are asked."""
    from tests.reliability.doors.place import Place

    return Place(tmp_path_factory.mktemp("place"), request.getfixturevalue)


def refused(result: tuple[int, str, str], *words: str) -> None:
    """One line on stderr with these words, exit code 2."""
    code, _, stderr = result
    lines = [line for line in stderr.strip().splitlines() if not line.startswith("warning:")]
    assert code == 2, stderr
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


def same_but_for_speed(first: Path, second: Path) -> None:
    for name in ("model.safetensors", "learning_curve.svg"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    a, b = (load_state(path).tensors for path in (first, second))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    lines = [
        [{**json.loads(line), "rows_per_s": 0} for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (first, second)
    ]
    assert lines[0] == lines[1]
    assert lines[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    with mounted(path, "size=2m"):
        yield path


@contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    """Have a file system of its own at `path` while the block lasts, or skip the test."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root on Linux only")
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    assert shutil.disk_usage(path.parent).free == 0
