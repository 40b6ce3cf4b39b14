"""The bench measures what it says: real sessions in processes of their own, parity on the timed inputs."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import bench.contestants.backends
from bench import BenchConfig, BenchRecord, measure_bundle, read_record
from bench.contestants.backends import BACKENDS, Backend, find_backends
from bench.contestants.peers import OPPONENTS
from bench.harness.workers import Task, Worker
from bench.record.environment import measure_overhead
from bench.record.record import record_schema
from bench.report.report import html_page
from bench.report.tables import notes
from bst import CheckError
from export import verify_bundle
from tests.bench.conftest import LIMITS, shorten
from tests.bench.planted import open_planted
from tests.conftest import Command

QUICK = ("--mode", "latency", "--launches", 2, "--rounds", 2, "--round-seconds", 0.02)
SHORT = BenchConfig(
    launches=2, rounds=1, round_seconds=0.01, batch_sizes=(1,), min_arrivals=50, bisection_steps=3, **LIMITS
)
DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Add a backend with a fault to the known ones, under its name."""
    # A worker gets this process's path, and finds the module there.
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    assert "tests.bench.planted" in sys.modules

    def add(name: str, **faults: object) -> str:
        BACKENDS.add(Backend(name, partial(open_planted, **faults)))
        planted.append(name)
        return name

    planted: list[str] = []
    yield add
    for name in planted:
        BACKENDS.remove(name)


@pytest.fixture(scope="module")
def measured(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of three backends, one of them twice, and a page, as the command writes them."""
    from bst.cli import run

    folder = tmp_path_factory.mktemp("measured")
    backends = "eager,torchscript,onnxruntime,onnxruntime,eager-cuda"
    options = ["--backends", backends, *map(str, QUICK), "--batch-sizes", "1,4"]
    files = ["--json", str(folder / "bench.json"), "--html", str(folder / "bench.html")]
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        assert run(["bench", str(bundle_path), *options, *files]) == 0
    return folder


@pytest.fixture(scope="module")
def record(measured: Path) -> BenchRecord:
    return read_record(measured / "bench.json")


def test_every_backend_is_measured_in_every_case_with_all_its_samples(record: BenchRecord) -> None:
    names = ("eager", "torchscript", "onnxruntime", "onnxruntime#2")
    assert [(row.backend, row.case.batch_size) for row in record.latency] == [(n, b) for b in (1, 4) for n in names]
    for row in record.latency:
        assert [len(rounds) for rounds in row.samples_us] == [2, 2]
        samples = np.concatenate([np.array(calls) for rounds in row.samples_us for calls in rounds])
        assert row.latency.p50_us.value == pytest.approx(np.median(samples), rel=0.01)
        assert row.latency.calls == len(samples)
        launches = [np.concatenate([np.array(calls) for calls in rounds]).mean() for rounds in row.samples_us]
        assert row.rows_per_s == pytest.approx(row.case.batch_size * 1e6 / np.mean(launches), rel=1e-3)
        assert row.parity.failure is None
        assert row.parity.max_error is not None
        assert row.parity.max_error <= 1e-5
    if "eager-cuda" in record.unavailable:
        assert "eager-cuda: not measured, no CUDA device here" in notes(record)


def test_the_best_other_is_the_fastest_of_the_others(record: BenchRecord) -> None:
    for row in record.latency:
        others = [one for one in record.latency if one.case == row.case and one.backend != row.backend]
        assert row.best == min(others, key=lambda one: np.median(np.concatenate(sum(one.samples_us, ())))).backend


def test_the_floor_is_below_every_measurement(record: BenchRecord) -> None:
    assert all(row.of_floor is not None and 0 < row.of_floor < 1 for row in record.latency)
    assert {rate.what for rate in record.rates} == {"bytes", "operations"}


def test_load_counts_from_the_intended_arrival_and_finds_a_limit(bundle_path: Path) -> None:
    load = {"modes": ("latency", "load"), "rates": (200.0,), "load_seconds": 0.1, "clients": 2}
    found = measure_bundle(bundle_path, SHORT.model_copy(update={**load, "backends": ("onnxruntime",)}))
    (closed,), (row,), (limit,) = found.latency, found.load, found.load_limits
    assert row.rate_per_s == 200.0
    assert row.p50_us is not None
    assert row.p50_us.value > 0.3 * closed.latency.p50_us.value
    assert [len(launch) for launch in row.latencies_us] == [50, 50]
    assert limit.rate_per_s.value > 200  # a call takes a quarter of a millisecond and may take ten
    assert limit.parity.failure is None
    assert "Under load" in html_page(found)


def test_a_cold_start_is_the_sum_of_its_parts_and_onnxruntime_needs_no_torch(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.modes.cold.DROP", tmp_path / "not there")  # whoever runs the tests keeps the page cache
    found = measure_bundle(bundle_path, SHORT.model_copy(update={"modes": ("cold",), "backends": ("onnxruntime",)}))
    assert not found.failures
    assert {row.backend for row in found.cold} == {"onnxruntime"}
    for row in found.cold:
        parts = row.start_ms.value + row.imports_ms.value + row.load_ms.value + row.answer_ms.value
        assert row.total_ms.value == pytest.approx(parts)
        assert row.parity.failure is None
        assert row.peak_mb.value < 150  # torch alone is more
    assert {row.cache for row in found.cold} == {"warm"}
    assert "cold, page cache dropped: not measured, only root may drop it" in notes(found)
    assert "Cold start" in html_page(found)


def test_the_environment_says_where_and_with_what(record: BenchRecord) -> None:
    wanted = {
        "cpu",
        "cpu_features",
        "cores",
        "mhz",
        "governor",
        "threads",
        "pinned_to_cores",
        "versions",
        "load_at_start",
    }
    assert wanted <= set(record.environment)
    assert record.environment["versions"].keys() >= {"torch", "onnxruntime", "numpy", "python"}


def test_the_record_fits_its_published_schema(measured: Path) -> None:
    schema = json.loads((DOCS / "reference" / "bench.schema.json").read_text())
    assert schema == record_schema(), "run `make schema`"
    jsonschema.validate(json.loads((measured / "bench.json").read_text()), schema)


def test_the_page_stands_alone_and_explains_itself(measured: Path) -> None:
    page = (measured / "bench.html").read_text()
    assert page.count("<svg") == 4  # bars of two batch sizes, by batch, parity
    assert all(title in page for title in ("How to read it", "The machine", "roofline"))
    for name in ("http://www.w3.org", "http://purl.org", "http://creativecommons.org", "https://matplotlib.org"):
        page = page.replace(name, "")
    assert "http" not in page
    assert "<script" not in page


def test_the_harness_adds_less_than_two_microseconds_a_call() -> None:
    assert min(measure_overhead() for _ in range(3)) < 2.0


def test_wrong_answers_are_parity_failures_and_no_speed(bundle_path: Path, plant: Callable[..., str]) -> None:
    names = (plant("off", fault="score"), plant("misordered", fault="order"))
    found = measure_bundle(bundle_path, SHORT.model_copy(update={"backends": ("onnxruntime", *names)}))
    rows = {row.backend: row for row in found.latency}
    assert rows["off"].parity.failure is not None
    assert "is off by" in rows["off"].parity.failure
    assert rows["misordered"].parity.failure is not None
    assert "in place 1, where" in rows["misordered"].parity.failure
    assert {rows[name].verdict for name in names} == {rows[name].best_verdict for name in names} == {"not equal"}
    assert rows["onnxruntime"].best == "eager"  # the wrong ones are no opponents
    assert len(found.failures) == 2


@pytest.mark.slow
def test_a_planted_slowdown_of_ten_percent_is_found_and_a_backend_is_no_faster_than_itself(
    bundle_path: Path, plant: Callable[..., str]
) -> None:
    names = ("onnxruntime", "onnxruntime", plant("slower", slower=0.1))
    found = measure_bundle(bundle_path, BenchConfig(backends=names, batch_sizes=(8,), round_seconds=0.1))
    rows = {row.backend: row for row in found.latency}
    assert rows["slower"].best_verdict == "slower"
    assert rows["onnxruntime"].best == "onnxruntime#2"
    assert rows["onnxruntime"].best_verdict == "cannot tell"


def test_a_backend_that_breaks_leaves_the_contest_and_fails_the_command_in_the_end(
    bundle_path: Path, plant: Callable[..., str], bst_command: Command, tmp_path: Path
) -> None:
    plant("breaking", fault="raises")
    options = ("--backends", "eager,breaking", "--batch-sizes", 1, *QUICK)
    code, out, err = bst_command("bench", bundle_path, *options, "--json", tmp_path / "bench.json")
    assert code == 1
    assert "breaking: not measured, failed: RuntimeError: planted" in out
    assert err.count("\n") == 1
    assert "breaking broke" in err
    assert [row.backend for row in read_record(tmp_path / "bench.json").latency] == ["eager"]


def test_a_bundle_that_fails_verification_is_not_timed(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.modes.measure.verify_bundle", verify_bundle)
    copied = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    (copied / "onnx" / "weights.bin").write_bytes(b"\0" * 10)
    with pytest.raises(CheckError, match=r"onnx/weights\.bin is altered"):
        measure_bundle(copied, SHORT)


def test_a_backend_without_its_device_or_format_is_a_line_and_no_crash(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.contestants.backends.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(bench.contestants.backends.importlib.util, "find_spec", lambda name: None)
    names = ("eager-cuda", "cuda-graph-bf16", "aotinductor", "openvino", "pt2", "onnxruntime")
    found = measure_bundle(bundle_path, SHORT.model_copy(update={"backends": names}))
    assert found.unavailable == {
        "eager-cuda": "no CUDA device here",
        "cuda-graph-bf16": "no CUDA device here",
        "aotinductor": "the bundle does not hold aotinductor",
        "openvino": "openvino is not installed; pip install openvino",
    }
    assert [row.backend for row in found.latency] == ["pt2", "onnxruntime"]
    assert not found.failures  # pt2 at index level answers with raw ids all the same


@pytest.mark.slow
def test_every_backend_of_this_machine_answers_right(variants: dict[str, Path]) -> None:
    """All but those that a compiler has to make first, which are slow."""
    names = tuple(name for name in BACKENDS.names if not name.startswith("compile"))
    asked = {"backends": names, "signature": "score_candidates", "candidates": (3,)}
    config = SHORT.model_copy(update=asked)
    found = measure_bundle(variants["index"], config)
    assert not found.failures
    wanted = {"eager", "torchscript", "torchscript-scripted", "torchscript-optimized", "onnxruntime", "openvino"}
    assert wanted <= {row.backend for row in found.latency}
    rounded = next(row for row in found.latency if row.backend == "eager-bf16")
    assert rounded.verdict == "not equal"


@pytest.mark.parametrize(
    "signature",
    [
        "top_k",
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("score_candidates", "all_scores", "encode_user")),
    ],
)
def test_the_opponents_have_the_same_weights(variants: dict[str, Path], signature: str, tmp_path: Path) -> None:
    from bench.contestants.peers import build_peers, choose_peers
    from bench.harness.cases import draw_inputs
    from bench.record.record import Case
    from export import compare, open_bundle

    bundle = open_bundle(variants["index" if signature == "top_k" else "raw_ids"])
    names = choose_peers(bundle, BenchConfig(peers=True))
    assert names == tuple(opponent.name for opponent in OPPONENTS if opponent.library is None)
    peers, missing = build_peers(bundle, signature, tmp_path, names)
    assert (tuple(peers), missing) == (names, {})
    stated = bundle.manifest.signature(signature)
    case = Case(num_items=bundle.manifest.items.count, threads=1, batch_size=3, length=0, candidates=7)
    call = draw_inputs(bundle, signature, case)[0]
    expected = bundle.session("eager", signature)(call)
    for name in ("plain-script", "plain-onnx", "plain-onnx-legacy", "plain-onnx-optimized"):
        assert compare(stated, expected, peers[name].open(bundle, signature, 1)(call)).failure is None, name
    loose = compare(stated, expected, peers["plain-onnx-int8"].open(bundle, signature, 1)(call), 0.2)
    assert 1e-5 < loose.error < 0.2


@pytest.mark.slow
def test_what_a_compiler_makes_answers_right(bundle_path: Path) -> None:
    config = SHORT.model_copy(update={"backends": ("compile",), "peers": True})
    found = measure_bundle(bundle_path, config)
    assert not found.failures
    rows = {row.backend: row for row in found.latency}
    assert {"compile", "plain-compile", "plain-openvino"} <= set(rows)
    assert rows["compile"].parity.failure is None
    assert rows["plain-compile"].parity.failure is None
    assert rows["plain-openvino"].parity.failure is None


@pytest.mark.slow
def test_a_random_model_of_several_sizes_needs_no_training(bst_command: Command, tmp_path: Path) -> None:
    sizes = ("--random", "dim=16,num_heads=2,head_widths=[8],max_length=6", "--catalogue-sizes", "50,90")
    files = ("--json", tmp_path / "bench.json", "--html", tmp_path / "bench.html")
    options = ("--backends", "eager", "--batch-sizes", 1, *QUICK, *files)
    code, _, err = bst_command("bench", *sizes, *options)
    assert (code, err) == (0, "")
    assert "As the catalogue grows" in (tmp_path / "bench.html").read_text()
    found = read_record(tmp_path / "bench.json")
    assert [one.model.num_items for one in found.subjects] == [50, 90]
    assert {row.case.num_items for row in found.latency} == {50, 90}


@pytest.mark.slow
def test_the_surface_says_who_is_fastest_in_each_cell(bst_command: Command, bundle_path: Path, tmp_path: Path) -> None:
    grid = ("--mode", "surface", "--candidates", "5", "--batch-sizes", "3", "--launches", 2)
    short = ("--rounds", 1, "--round-seconds", 0.01, "--backends", "onnxruntime", "--html", tmp_path / "bench.html")
    code, out, err = bst_command("bench", bundle_path, *grid, *short)
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines() if line.strip().startswith("40 ")]
    assert [line[2:5] for line in lines] == [["5", length, "3"] for length in ("1", "6", "12")]
    assert "Fastest backend by case" in (tmp_path / "bench.html").read_text()


def test_a_name_twice_is_measured_twice() -> None:
    assert list(find_backends(("eager", "onnxruntime", "onnxruntime"))) == ["eager", "onnxruntime", "onnxruntime#2"]


def test_a_dead_backend_is_an_error_and_not_silence(bundle_path: Path) -> None:
    worker = Worker(Task(bundle_path, BACKENDS.find("onnxruntime"), "top_k", 1, (), 0))
    worker.wait()
    worker.process.kill()
    worker.process.join()
    with pytest.raises(CheckError, match="backend onnxruntime ended with exit code -9"):
        worker.measure(0, 0.01)
    worker.close()
