"""A trained run with a larger catalogue."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.models.grown_model import cut, grown
from bench.models.random_model import parse_model, write_random_run
from bst import InputError, load_run


def test_known_items_and_users_stay_and_their_scores_with_them(run_path: Path) -> None:
    run = load_run(run_path)
    larger = grown(run, 1000)
    assert larger.config.model.num_items == len(larger.vocabularies.items) == 1000
    items, context = run.heldout.items[:8], run.heldout.context[:8]
    with torch.inference_mode():
        known, found = run.model(items, context), larger.model(items, context)
    assert torch.equal(known, found[:, : known.shape[1]])
    assert larger.vocabularies.items.ids[: len(run.vocabularies.items)].equals(run.vocabularies.items.ids)
    assert larger.vocabularies.items.ids.is_sorted()


def test_drawn_items_have_the_mean_and_the_covariance_of_the_known_ones(run_path: Path) -> None:
    run = load_run(run_path)
    known = run.config.model.num_items
    for name in ("item_embedding.weight", "output.weight"):
        before = dict(run.model.named_parameters())[name].detach()[-known:]
        drawn = dict(grown(run, 20_000).model.named_parameters())[name].detach()[-(20_000 - known) :]
        spread = float(before.std())
        assert torch.allclose(drawn.mean(dim=0), before.mean(dim=0), atol=0.05 * spread)
        assert torch.allclose(torch.cov(drawn.T), torch.cov(before.T), atol=0.05 * spread**2)


def test_cut_histories_are_beginnings_of_about_that_median(run_path: Path) -> None:
    run = load_run(run_path)
    short = cut(run, 3)
    lengths = (short.heldout.items > 0).sum(dim=1)
    assert 2 <= int(lengths.median()) <= 4
    for before, after in zip(run.heldout.items, short.heldout.items, strict=True):
        kept = after[after > 0]
        assert torch.equal(before[before > 0][: len(kept)], kept)
    assert cut(run, None) is run


def test_a_grown_run_is_a_run(run_path: Path, tmp_path: Path) -> None:
    write_random_run(tmp_path / "run", parse_model(["num_items=300", f"like={run_path}", "median_length=2"]))
    assert load_run(tmp_path / "run").config.model.num_items == 300


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["num_items=3"], "num_items=3 is less than the 40 that"),
        (["num_items=50", "dim=64"], "dim: those are of the run in like="),
        (["num_items=0"], "num_items=0 is not a number from 1 up"),
        (["num_items=50", "median_length=-1"], "median_length=-1 is not a number from 1 up"),
    ],
)
def test_what_does_not_fit_the_run_is_refused(run_path: Path, settings: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_model([*settings, f"like={run_path}"])


def test_lengths_of_a_random_model_follow_the_median(tmp_path: Path) -> None:
    sizes = ["num_items=40", "dim=8", "num_heads=2", "head_widths=[8]", "max_length=50"]
    write_random_run(tmp_path / "run", parse_model([*sizes, "median_length=8"]))
    lengths = (load_run(tmp_path / "run").heldout.items > 0).sum(dim=1).numpy()
    assert 5 <= np.median(lengths) <= 11
