"""From a DataFrame of events to a model, a bundle and recommendations.

    python examples/train_from_dataframe.py events.csv --out shop

The CSV has the columns `user_id`, `item_id` and `timestamp`, one row an event; any way to get such a DataFrame of
polars or pandas will do. The folder `shop` then holds the trained `run` and the `bundle` that programs open.
"""

import argparse
from pathlib import Path

import polars as pl

from bst import Dataset, Settings, read_interactions, train
from export import ExportSettings, Recommendations, export_bundle, open_bundle

SETTINGS = Settings()  # those that `bst config` prints
ONNX = ExportSettings(formats=("onnx",))


def train_and_export(
    events: pl.DataFrame, out: Path, settings: Settings = SETTINGS, export: ExportSettings = ONNX
) -> Path:
    """Train on `events`, print how good the model is beside two baselines, and give the path of its bundle."""
    dataset = Dataset.build(read_interactions(events, settings.data))
    result = train(dataset, settings, out / "run")
    for name, metrics in {"this model": result.test.model, **result.test.baselines}.items():
        print(f"{name:<12}HR@10 {metrics.hr[10]:.4f}  NDCG@10 {metrics.ndcg[10]:.4f}")
    export_bundle(out / "run", out / "bundle", export)
    return out / "bundle"


def recommend_for(user: object, events: pl.DataFrame, bundle: Path, backend: str = "onnxruntime") -> Recommendations:
    """Recommend items for a user of `events`, from what the user did there."""
    history = events.filter(pl.col("user_id") == user).sort("timestamp")["item_id"]
    return open_bundle(bundle).recommender(backend).recommend(history)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("events", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    table = pl.read_csv(arguments.events)
    bundle_path = train_and_export(table, arguments.out)
    somebody = table["user_id"][0]
    print(f"recommended to user {somebody}:", *recommend_for(somebody, table, bundle_path).item_ids)
