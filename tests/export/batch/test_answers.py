"""A batch gives each user what the bundle gives that user alone, in the order of the input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.conftest import OnDemand
from tests.export.batch.shop import UNKNOWN, alone, opened, score_here, shop, write_parts


@pytest.mark.parametrize("variant", ["raw_ids", "text_ids", "index", "numbers_k_input", "length_one"])
def test_each_user_is_given_what_recommend_gives(variant: str, variants: OnDemand, tmp_path: Path) -> None:
    bundle = opened(variants[variant])
    users = shop(bundle)
    scores = score_here(variants[variant], write_parts(tmp_path / "users", users), tmp_path / "out", unit_rows=9)
    expected = alone(bundle, users)
    assert scores["user_id"].to_list() == users["user_id"].to_list()
    assert scores["item_ids"].to_list() == [row["item_ids"] for row in expected]
    for row, answer in zip(scores["scores"], expected, strict=True):
        np.testing.assert_allclose(row.to_numpy(), answer["scores"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", ["score_candidates", "clicks", "imported", "imported_index", "pairs"])
def test_candidates_are_scored_best_first(variant: str, variants: OnDemand, tmp_path: Path) -> None:
    bundle = opened(variants[variant])
    users = shop(bundle)
    path = write_parts(tmp_path / "users", users)
    scores = score_here(variants[variant], path, tmp_path / "out", candidates="candidates", k=4)
    scorer, model = bundle.scorer(threads=1), bundle.manifest.model
    of = {group.of: [] for group in (*model.inputs, *model.candidate_inputs)} | {
        "request": [],
        "event": [],
        "candidate": [],
        "sequence": [],
    }
    for group in (*model.inputs, *model.candidate_inputs):
        of[group.of] += group.names(model)
    for user, row in zip(users.iter_rows(named=True), scores.iter_rows(named=True), strict=True):
        if not user["candidates"]:
            assert row["item_ids"] == []
            continue
        answer = scorer.score(
            [user["history"]],
            [user["candidates"]],
            {name: [user[name]] for name in of["request"]},
            events={name: [user[name]] for name in of["event"]},
            candidate_features={name: [user[name]] for name in of["candidate"]},
            sequences={name: [[item or "" for item in user[name]]] for name in of["sequence"]},  # a null is padding
        )
        order = [
            place for place in np.argsort(-answer.scores[0], kind="stable") if np.isfinite(answer.scores[0][place])
        ][:4]
        assert row["item_ids"] == [user["candidates"][place] for place in order]
        np.testing.assert_allclose(row["scores"], answer.scores[0][order], rtol=0, atol=1e-5)
        if answer.probabilities is not None:
            np.testing.assert_allclose(row["probabilities"], answer.probabilities[0][order], rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", ["raw_ids", "text_ids"])
def test_ids_that_the_model_does_not_know_are_counted(variant: str, variants: OnDemand, tmp_path: Path) -> None:
    bundle = opened(variants[variant])
    users = shop(bundle)
    scores = score_here(variants[variant], write_parts(tmp_path / "users", users), tmp_path / "out")
    stranger = UNKNOWN[bundle.manifest.items.dtype]
    assert scores["unknown_ids"].to_list() == [history.count(stranger) for history in users["history"].to_list()]
    assert scores["unknown_ids"].sum() > 0


def test_nulls_and_padding_in_a_history_are_left_out_and_not_counted(bundle_path: Path, tmp_path: Path) -> None:
    users = shop(opened(bundle_path), 3).with_columns(
        history=pl.Series([[None, 11, None, 0, 18], [11, 18], None], dtype=pl.List(pl.Int32)),
        gender=pl.lit("F"),
        region=4,
    )
    scores = score_here(bundle_path, write_parts(tmp_path / "users", users, 1), tmp_path / "out")
    assert scores["item_ids"][0].to_list() == scores["item_ids"][1].to_list()
    assert scores["unknown_ids"].to_list() == [0, 0, 0]
    assert len(scores["item_ids"][2]) == 5


def test_excluded_ids_are_never_given_and_k_are_left(variants: OnDemand, tmp_path: Path) -> None:
    bundle = opened(variants["numbers_k_input"])
    users = shop(bundle).with_columns(
        history=pl.lit([], dtype=pl.List(pl.Int64)),
        step=pl.lit([], dtype=pl.List(pl.Int64)),
        event_time=pl.lit([], dtype=pl.List(pl.Int64)),
    )
    best = [row["item_ids"] for row in alone(bundle, users, 8)]
    users = users.with_columns(never=pl.Series([row[: place % 4] for place, row in enumerate(best)]))
    scores = score_here(
        variants["numbers_k_input"], write_parts(tmp_path / "users", users), tmp_path / "out", exclude="never", k=5
    )
    assert scores["item_ids"].to_list() == [row[place % 4 : place % 4 + 5] for place, row in enumerate(best)]


def test_a_feature_that_is_said_to_be_unknown_may_be_missing(bundle_path: Path, tmp_path: Path) -> None:
    users = shop(opened(bundle_path))
    without = write_parts(tmp_path / "without", users.drop("gender"))
    null = write_parts(tmp_path / "null", users.with_columns(gender=pl.lit(None, dtype=pl.String)))
    scores = score_here(bundle_path, without, tmp_path / "out", unknown=("gender",))
    assert scores.equals(score_here(bundle_path, null, tmp_path / "other"))


def test_a_feature_may_be_the_name_of_a_folder(bundle_path: Path, tmp_path: Path) -> None:
    users = shop(opened(bundle_path)).with_columns(region=5)
    (tmp_path / "users").mkdir()
    write_parts(tmp_path / "users" / "region=5", users.drop("region"))
    scores = score_here(bundle_path, tmp_path / "users", tmp_path / "out")
    assert scores.equals(score_here(bundle_path, write_parts(tmp_path / "same", users), tmp_path / "other"))


def test_numbers_that_pandas_wrote_as_floats_are_categories(bundle_path: Path, tmp_path: Path) -> None:
    users = shop(opened(bundle_path))
    floats = write_parts(tmp_path / "floats", users.cast({"region": pl.Float64}))
    scores = score_here(bundle_path, floats, tmp_path / "out")
    assert scores.equals(score_here(bundle_path, write_parts(tmp_path / "same", users), tmp_path / "other"))
