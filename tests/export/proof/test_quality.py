"""What is measured is what is served: one rule from the run into the bundle, and `top_k` asked for the same users."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bst import DataConfig, Dataset, Settings, TrainConfig, load_run, read_interactions, train
from export import ExportSettings, Manifest, TopK, export_bundle, open_bundle
from tests.conftest import TINY, Command

ONE = ExportSettings(formats=("onnx",), signatures=("top_k",))


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
    train(dataset, Settings(model=TINY, training=TrainConfig(epochs=2, batch_size=16)), folder / "run")
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
    session = open_bundle(run.parent / "bundle").session("onnxruntime", "top_k")
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
    assert "asked for 80 of these users with their whole histories: HR@10" in card
    assert 'Bytes (`b"..."`, numpy\'s `S`) are ids that no model knows' in card


@pytest.mark.bundle
def test_a_bundle_that_is_asked_for_another_rule_says_so(bst_command: Command, run: Path, tmp_path: Path) -> None:
    code, out, _ = bst_command(
        *("export", run, "--out", tmp_path / "bundle", "--keep-history", "--k", 5),
        *("--formats", "onnx", "--signatures", "top_k"),
    )
    assert code == 0
    assert "top_k keeps items of the history, other than the run was measured" in out
    assert "top_k of this bundle: HR@5 " in out
    assert "the table was measured the other way" in (tmp_path / "bundle" / "README.md").read_text()


def test_what_is_asked_for_goes_before_what_was_measured() -> None:
    assert TopK().as_measured(True).exclude_history is True
    assert TopK(exclude_history=False).as_measured(True).exclude_history is False
    assert TopK(exclude_history=True).as_measured(False).exclude_history is True
    assert TopK().as_measured(None) == TopK()


@pytest.mark.bundle
def test_a_run_without_test_data_has_no_quality(make_run: Callable[..., Path], tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(make_run("shared"), run)
    (run / "test.safetensors").unlink()
    (run / "metrics.jsonl").write_text("")
    assert export_bundle(run, tmp_path / "bundle", ONE.model_copy(update={"top_k": TopK(limit=3)})).quality is None
