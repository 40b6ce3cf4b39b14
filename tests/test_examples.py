"""The examples run as they stand, on tables that are small enough."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from bst import Architecture, InputError, Settings, TrainConfig, read_settings
from export import ExportSettings, open_bundle
from tests.conftest import write_events

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PACKAGES = ROOT / "clients" / "js"
QUICK = ExportSettings(formats=("torchscript",), signatures=("top_k",))
SMALL = Settings(
    model=Architecture(dim=16, num_heads=2, num_blocks=1, ff_width=32, head_widths=()), training=TrainConfig(epochs=1)
)
ASKED = {"history": [11, 18], "context": {"gender": "F"}}
needs_node = pytest.mark.skipif(
    not (PACKAGES / "node_modules" / "onnxruntime-node").exists(), reason="no onnxruntime-node: npm was not there"
)


def example(name: str) -> Any:
    """Import an example by its file."""
    specification = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def ask(address: str, request: object) -> tuple[int, Any]:
    """Send a request: the status and the answer of the service."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data=body), timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def wanted(bundle: Path) -> dict[str, list[Any]]:
    return open_bundle(bundle).recommender().recommend(ASKED["history"], ASKED["context"]).to_dict()


def test_every_example_is_in_the_table_of_its_folder() -> None:
    named = set(re.findall(r"\]\(([\w.]+)\)", (EXAMPLES / "README.md").read_text()))
    assert named == {path.name for path in EXAMPLES.iterdir() if path.is_file()} - {"README.md"}


@pytest.mark.bundle
def test_a_dataframe_becomes_a_bundle_that_recommends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = example("train_from_dataframe")
    events = pl.read_csv(write_events(tmp_path / "events.csv"))
    bundle = script.train_and_export(events, tmp_path, SMALL, QUICK)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("HR@10")[0].strip() for line in lines] == ["this model", "popularity", "markov"]
    answer = script.recommend_for(events["user_id"][0], events, bundle, backend="torchscript")
    assert len(answer.item_ids) == 10
    assert set(answer.item_ids) <= set(events["item_id"])


@pytest.mark.parametrize("load", ["with_this_package", "with_onnxruntime_alone"])
def test_a_bundle_answers_over_http_as_its_recommender_does(load: str, variants: dict[str, Path]) -> None:
    bundle = variants["onnx_top_k"]
    script = example("serve_bundle")
    with script.serve(getattr(script, load)(bundle), port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/recommend"
        status, answer = ask(address, ASKED)
        assert (status, answer["item_ids"]) == (200, wanted(bundle)["item_ids"])
        assert answer["scores"] == pytest.approx(wanted(bundle)["scores"], abs=1e-6)
        assert len(ask(address, {})[1]["item_ids"]) == 3
        for offence in ({"history": ["x"]}, {"context": {"colour": "red"}}, b"no JSON"):
            status, answer = ask(address, offence)
            assert (status, list(answer)) == (400, ["error"])
        assert ask(f"{address}er", ASKED) == (400, {"error": "/recommender is not /recommend"})
        server.shutdown()


def test_the_plain_service_imports_nothing_of_this_package(variants: dict[str, Path]) -> None:
    program = (
        "import sys, json, pathlib; sys.path.insert(0, sys.argv[1]); import serve_bundle;"
        "recommend = serve_bundle.with_onnxruntime_alone(pathlib.Path(sys.argv[2]));"
        "print(json.dumps([recommend([11, 18], {'gender': 'F'})['item_ids'],"
        " sorted({'bst', 'export', 'torch', 'polars'} & set(sys.modules))]))"
    )
    command = [sys.executable, "-c", program, str(EXAMPLES), str(variants["onnx_top_k"])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [wanted(variants["onnx_top_k"])["item_ids"], []]


@contextmanager
def started(*command: object, **environment: str) -> Iterator[str]:
    """Start a service, give the address that it prints last, and end it."""
    variables = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment}
    service = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, env=variables)
    assert service.stdout is not None
    try:
        lines = iter(service.stdout.readline, "")
        yield next(line.strip() for line in lines if line.startswith("http://127.0.0.1:"))
    finally:
        service.terminate()
        service.communicate(timeout=30)


@needs_node
def test_a_bundle_answers_from_node_as_its_recommender_does(variants: dict[str, Path], tmp_path: Path) -> None:
    bundle = variants["onnx_top_k"]
    shutil.copy(EXAMPLES / "node_service.mjs", tmp_path)
    (tmp_path / "node_modules").symlink_to(PACKAGES / "node_modules")
    with started("node", tmp_path / "node_service.mjs", bundle, "0") as address:
        status, answer = ask(address, ASKED)
        assert (status, answer["item_ids"]) == (200, wanted(bundle)["item_ids"])
        assert len(ask(address, {})[1]["item_ids"]) == 3
        for offence in ({"history": ["x"]}, {"context": {"colour": "red"}}, b"no JSON"):
            status, answer = ask(address, offence)
            assert (status, list(answer)) == (400, ["error"])


@pytest.mark.slow
@needs_node
@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here")
def test_a_csv_becomes_a_service_in_node(tmp_path: Path) -> None:
    write_events(tmp_path / "events.csv")
    (tmp_path / "train.toml").write_text("[model]\ndim = 16\n[training]\nepochs = 1\n")
    options = ("--config", tmp_path / "train.toml")
    script = ("sh", EXAMPLES / "csv_to_node.sh", tmp_path / "events.csv", tmp_path / "shop", *options)
    with started(*script, PORT="0", npm_config_offline="true") as address:
        assert len(ask(address, {"history": [11, 18]})[1]["item_ids"]) == 10


@pytest.mark.bundle
def test_every_cell_of_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {}
    for cell in json.loads((EXAMPLES / "explore.ipynb").read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "the notebook is kept without what it printed"
            exec("".join(cell["source"]), names)
    names["plt"].close(names["figure"])
    model, popularity, _ = names["quality"]["HR@1"]
    assert model > popularity
    assert len(names["recommender"].recommend([3, 4, 6], k=5).item_ids) == 5


def test_a_search_that_was_cut_goes_on_and_leaves_settings_to_train_with(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna", reason="no optuna: it is of the extra `search`")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = example("search")
    events = write_events(tmp_path / "events.csv")
    trained: list[int] = []
    quality_of = search.quality_of

    def cut_short(trial: Any, dataset: Any, settings: Settings) -> float:
        trained.append(trial.number)
        if trial.number == 1:
            raise KeyboardInterrupt
        small = settings.model.model_copy(update={"dim": 16, "ff_width": 16, "max_length": 12})
        return float(quality_of(trial, dataset, settings.model_copy(update={"model": small})))

    search.quality_of = cut_short
    with pytest.raises(KeyboardInterrupt):
        search.search(events, tmp_path / "search", trials=3, epochs=1)
    best = search.search(events, tmp_path / "search", trials=3, epochs=1)
    assert trained == [0, 1, 2, 3]  # the second was cut, and another stands for it
    chosen = read_settings(best)
    assert chosen.training.epochs == 1
    with pytest.raises(InputError, match=r"--epochs 2, and .* has trials of 1; give another --out"):
        search.search(events, tmp_path / "search", trials=3, epochs=2)
