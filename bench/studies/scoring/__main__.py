"""The throughput of `bst score`, and what kills leave of it.

    python -m bench.studies.scoring [BUNDLE] [--users 20000] [--rounds 8] [--unit-rows 2000] [--kills 2] [--json FILE]
    python -m bench.studies.scoring BUNDLE --users 2000000 --unit-rows 25000 --kills 20 --json FILE    # some hours

Without a bundle, a random model of the sizes of MovieLens-1M is exported (`SIZES`). In each round all contestants score
the same users by turns. Then one worker and two score all users by turns. Then all users are scored undisturbed, and
once more with kills. What 100 million users cost is computed from the median speed of one worker.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch

from bench.models.random_model import parse_model, write_random_run
from bench.record.environment import describe
from bench.studies.scoring.kills import score_disturbed
from bench.studies.scoring.throughput import WORKER, Shop, contestants_of, quartiles, race, ratios, scaling
from bench.studies.scoring.users import MEDIAN, write_users
from bst.errors import CheckError
from bst.system.files import temporary_folder, to_json, write_atomically
from export import Bundle, ExportSettings, TopK, export_bundle, open_bundle
from export.batch.settings import UNIT_ROWS

SIZES = ["num_items=3416", "max_length=200", "context=gender:2,age:7,occupation:21"]
TOP_K = TopK(limit=50, exclude_history=True)
MANY = 100_000_000


def main() -> None:
    """Measure, print a line each, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("bundle", type=Path, nargs="?")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--median-length", type=int, default=MEDIAN)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--unit-rows", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with temporary_folder() as folder:
        bundle = open_bundle(arguments.bundle or made(folder))
        record = {"machine": describe((1,)), **vars(arguments)}
        record |= measure(bundle, folder, arguments)
    for name, value in record.items():
        if name not in ("machine", "speeds"):
            print(f"{name}: {value}")
    if arguments.json:
        write_atomically(arguments.json, to_json({name: _plain(value) for name, value in record.items()}))


def made(folder: Path) -> Path:
    """Export a random model."""
    write_random_run(folder / "run", parse_model(SIZES))
    export_bundle(folder / "run", folder / "bundle", ExportSettings(formats=("onnx",), top_k=TOP_K, golden="none"))
    return folder / "bundle"


def measure(bundle: Bundle, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Take all measurements; names carry units."""
    rows, rounds, median = arguments.unit_rows, arguments.rounds, arguments.median_length
    of_rounds = write_users(folder / "rounds", bundle, (rounds + 1) * rows, median=median, file_rows=rows)
    speeds = race(contestants_of(Shop.of(bundle, of_rounds, folder / "shards", rows)), rounds)
    medians = {name: round(statistics.median(values), 1) for name, values in speeds.items()}
    users = write_users(folder / "users", bundle, arguments.users, median=median)
    whole = Shop.of(bundle, users, folder, max(1, min(UNIT_ROWS, arguments.users // 10)))
    by_workers = scaling(whole, folder, max(1, rounds // 4))
    two_to_one = quartiles([both / alone for alone, both in zip(by_workers[1], by_workers[2], strict=True)])
    undisturbed, disturbed = (
        score_disturbed(bundle.path, users, folder / f"kills-{kills}", kills=kills, mean_s=mean_s, workers=2)
        for kills, mean_s in ((0, 1.0), (arguments.kills, 5.0 + arguments.users / 100_000))
    )
    if undisturbed.sha256 != disturbed.sha256:
        raise CheckError("a batch that was killed has other bytes than one that was left alone")
    return {
        "speeds": speeds,
        "users_per_s": medians,
        "worker_to_others": ratios(speeds),
        "users_per_s_by_workers": by_workers,
        "two_workers_to_one": two_to_one,
        "undisturbed": vars(undisturbed),
        "disturbed": vars(disturbed),
        "core_hours_of_100_million_users": round(MANY / medians[WORKER] / 3600, 2),
    }


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


if __name__ == "__main__":
    main()
