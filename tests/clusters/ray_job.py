"""A batch on a local Ray cluster of two workers, one of which is killed: `python ray_job.py BUNDLE USERS OUT MARK`."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

from export.batch import ScoreSettings, score_users
from export.batch.engines import ENGINES, Engine
from export.batch.engines.ray_tasks import map_in_ray


def dying_once(function: Any, mark: Path, unit: Any) -> Any:
    """Kill the first worker that comes to the third unit, in the middle of it."""
    if "part-00002-" in unit.name and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return function(unit)


def main() -> None:
    bundle, users, out, mark = map(Path, sys.argv[1:])

    def map_units(function: Any, units: Any, workers: int) -> Any:
        return map_in_ray(partial(dying_once, function, mark), units, workers)

    ENGINES.add(Engine("dying", map_units, extra="ray"))
    summary = score_users(bundle, users, out, ScoreSettings(unit_rows=9), engine="dying", workers=2)
    print(summary.units, os.environ["RAY_USAGE_STATS_ENABLED"])


if __name__ == "__main__":
    main()
