"""What is measured is what is served: one rule from the run into the bundle, and `top_k` asked for the same users."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bst import DataConfig, Dataset, InputError, Settings, TrainConfig, load_run, read_interactions, train
from export import ExportSettings, Manifest, TopK, export_bundle, open_bundle
from export.commands import quality_lines
from export.handout.card import write_card
from export.proof.quality import quality_of
from tests.conftest import TINY

ONE = ExportSettings(formats=("torchscript",), signatures=("top_k",))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose users never have an item twice, some with more events than the model reads."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 30, 80)
    frame = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(80), lengths),
            "item_id": [f"item-{item}" for length in lengths for item in rng.permutation(40)[:length]],
            "timestamp": np.arange(lengths.sum()),
        }
    )
    frame.write_csv(folder / "events.csv")
    dataset = Dataset.build(read_interactions(folder / "events.csv", DataConfig()))
    train(dataset, Settings(model=TINY, training=TrainConfig(epochs=2, batch_events=150)), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def manifest(run: Path) -> Manifest:
    return export_bundle(run, run.parent / "bundle", ONE)


@pytest.mark.bundle
def test_a_bundle_leaves_out_what_its_run_left_out(run: Path, manifest: Manifest) -> None:
    assert load_run(run).config.training.filter_seen is True
    assert manifest.settings.top_k.exclude_history is True
    assert manifest.quality is not None
    assert manifest.quality.filter_seen is True


@pytest.mark.bundle
def test_top_k_reaches_for_every_test_user_what_training_measured(run: Path, manifest: Manifest) -> None:
    quality = manifest.quality
    assert quality is not None
    assert quality.top_k is not None
    assert (quality.top_k.k, quality.top_k.users) == (10, 80)
    assert quality.top_k.hr == pytest.approx(quality.model["hr_10"])
    assert quality.top_k.ndcg == pytest.approx(quality.model["ndcg_10"])
    session = open_bundle(run.parent / "bundle").session("torchscript", "top_k")
    events = pl.read_csv(run.parent / "events.csv")
    hits = 0
    for (_,), user in events.group_by("user_id"):
        items = user.sort("timestamp")["item_id"].to_list()
        hits += items[-1] in session({"history": np.array([items[:-1]], dtype=object)})["item_ids"][0]
    assert hits / 80 == pytest.approx(quality.model["hr_10"])
    assert 0 < hits < 80


@pytest.mark.bundle
def test_the_card_says_how_good_it_is_and_what_bytes_are(run: Path, manifest: Manifest) -> None:
    card = (run.parent / "bundle" / "README.md").read_text()
    quality = manifest.quality
    assert quality is not None
    assert f"| this model | {quality.model['hr_10']:.4f} | {quality.model['ndcg_10']:.4f} |" in card
    assert f"| popularity | {quality.popularity['hr_10']:.4f} |" in card
    assert "called for 80 of these users with their whole histories: HR@10" in card
    assert 'Bytes (`b"..."`, numpy\'s `S`) are ids that no model knows' in card


@pytest.mark.bundle
def test_a_bundle_of_another_rule_than_its_run_says_so(run: Path, manifest: Manifest, tmp_path: Path) -> None:
    assert next(quality_lines(manifest)) == "top_k leaves out what the history holds, as the run was measured"
    kept = manifest.settings.model_copy(update={"top_k": TopK(exclude_history=False)})
    other = manifest.model_copy(update={"settings": kept})
    lines = list(quality_lines(other))
    assert lines[0] == "top_k keeps items of the history, other than the run was measured"
    assert lines[2].startswith("top_k of this bundle: HR@10 ")
    write_card(tmp_path, other, load_run(run).vocabularies)
    assert "the table was measured the other way" in (tmp_path / "README.md").read_text()


def test_what_is_asked_for_goes_before_what_was_measured() -> None:
    assert TopK().as_measured(True).exclude_history is True
    assert TopK(exclude_history=False).as_measured(True).exclude_history is False
    assert TopK(exclude_history=True).as_measured(False).exclude_history is True
    assert TopK().as_measured(None) == TopK()


def test_a_run_that_was_not_measured_has_no_quality_and_a_damaged_one_is_refused(run: Path) -> None:
    loaded = load_run(run)
    assert quality_of(replace(loaded, metrics=()), run) is None
    with pytest.raises(InputError, match=r"metrics\.jsonl: test: .*unseen"):
        quality_of(replace(loaded, metrics=({"test": {**(loaded.quality or {}), "unseen": "x"}},)), run)
