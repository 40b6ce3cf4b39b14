"""The memory of a ranking beside the weights."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bench.models.random_model import parse_model, write_random_run
from bst import load_run
from tests.peak import HAS_PEAK, peak_of


@pytest.mark.slow
@pytest.mark.skipif(not HAS_PEAK, reason="peak memory is read from /proc")
def test_two_million_items_are_ranked_in_little_more_than_their_weights(tmp_path: Path) -> None:
    run, events = tmp_path / "run", tmp_path / "events.parquet"
    sizes = ["num_items=2000000", "dim=16", "num_heads=2", "ff_width=16", "num_blocks=1", "head_widths=[16]"]
    write_random_run(run, parse_model(sizes))
    known = load_run(run).vocabularies.items.ids.to_numpy()
    rng = np.random.default_rng(0)
    rows = {
        "user_id": np.repeat(np.arange(1000), 5),
        "item_id": rng.choice(known, 5000),
        "timestamp": np.tile(np.arange(5), 1000),
    }
    pl.DataFrame(rows).write_parquet(events)
    answer, peak = peak_of("evaluate", run, events, "--json")
    assert '"num_users": 1000' in answer
    assert peak < 1.2e9
