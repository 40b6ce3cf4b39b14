"""The bundle's `top_k` against its model on all held-out users."""

from pathlib import Path

import pytest

from bench.studies.same_answers import compare_answers
from bst import Dataset, InputError, load_run, read_interactions
from export import open_bundle


def test_a_bundle_and_its_model_name_the_same_items(
    run_path: Path, bundle_path: Path, tables: tuple[Path, Path]
) -> None:
    run = load_run(run_path)
    split = Dataset.build(read_interactions(tables[0], run.config.data, tables[1]), run.vocabularies).split
    found = compare_answers(open_bundle(bundle_path), run, [split.test, split.validation], 1000)
    assert found["rows"] == len(split.test) + len(split.validation)
    assert found["same"] + found["equal_within_noise"] == found["rows"]
    assert 0 < found["largest_error"] < 1e-5
    assert found["ndcg_10_bundle"] == found["ndcg_10_eager"] > 0


def test_another_run_is_not_the_same(run_path: Path, bundle_path: Path, tables: tuple[Path, Path]) -> None:
    run = load_run(run_path)
    run.model.output.weight.data[3] += 1.0
    split = Dataset.build(read_interactions(tables[0], run.config.data, tables[1]), run.vocabularies).split
    found = compare_answers(open_bundle(bundle_path), run, [split.test], 40)
    assert found["same"] + found["equal_within_noise"] < 40
    assert found["largest_error"] > 1e-5


def test_a_bundle_that_leaves_histories_out_is_refused(run_path: Path, variants: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="leaves out what the history holds"):
        compare_answers(open_bundle(variants["numbers_k_input"]), load_run(run_path), [], 1)
