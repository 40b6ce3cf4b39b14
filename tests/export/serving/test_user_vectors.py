"""A click model's user vector: kept between requests, it scores candidates as the history does that it was made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bst import CheckError, InputError
from export import ExportSettings, export_bundle, open_bundle
from export.contract.model_signatures import parts_of_user_vector, signatures_of
from export.contract.signatures import signatures_of_task
from export.serving.scorer import ClickScorer
from tests.bst.model.test_click import FORMS, NUMBER, ROWS, SEES_CANDIDATES, candidates_of, close, inputs_of, model_of
from tests.conftest import Command, OnDemand, random_inputs, refused

ONCE = [form for form in FORMS if form not in SEES_CANDIDATES]
OF_CLICKS = WHOLE, ENCODING, SCORING = signatures_of_task("click")
FORMATS = [("onnxruntime", "clicks"), ("torchscript", "clicks"), ("pt2", "clicks_program"), ("eager", "clicks")]
each_backend = pytest.mark.parametrize(("backend", "variant"), FORMATS)


@torch.no_grad()
@pytest.mark.parametrize("form", ONCE)
def test_a_user_vector_scores_as_the_history_that_it_was_made_of(form: str) -> None:
    model, config = model_of(form)
    scorer = ClickScorer(model, config)
    inputs, candidates = inputs_of(config), candidates_of(ROWS, NUMBER)
    user = scorer.vectors(inputs)
    vector = scorer.encode_user(user)
    assert vector.shape == (ROWS, sum(parts_of_user_vector(config)))
    for kept, now in zip(
        scorer.score_candidates_from_user(vector, candidates), scorer.score_candidates(user, candidates), strict=True
    ):
        assert close(kept, now)


@torch.no_grad()
@pytest.mark.parametrize("form", ONCE)
def test_a_user_vector_is_the_same_with_less_padding_and_alone(form: str) -> None:
    model, config = model_of(form)
    scorer = ClickScorer(model, config)
    inputs = inputs_of(config)
    vectors = scorer.encode_user(scorer.vectors(inputs))
    of_events = {"items", "events", "event_time"}
    first = {name: tensor[:1, 3:] if name in of_events else tensor[:1] for name, tensor in inputs.items()}
    assert close(scorer.encode_user(scorer.vectors(first)), vectors[:1])
    slots = vectors[:, parts_of_user_vector(config)[0] :][:, : config.max_length]
    assert torch.equal(slots, (inputs["items"] > 0).float())


@each_backend
def test_encoding_and_then_scoring_is_scoring_at_once(variants: OnDemand, backend: str, variant: str) -> None:
    bundle = open_bundle(variants[variant])
    whole, encoding, scoring = (bundle.session(backend, name) for name in OF_CLICKS)
    for batch, length in ((1, 1), (3, 20), (2, 12)):
        inputs = random_inputs(bundle.path, batch, length, n=9, signature=WHOLE)
        users = encoding({name: inputs[name] for name in (spec.name for spec in encoding.signature.inputs)})
        expected = whole(inputs)
        answer = scoring({"candidates": inputs["candidates"], **users})
        there = np.isfinite(expected["scores"])
        assert (there == np.isfinite(answer["scores"])).all()
        off = np.abs(answer["scores"][there] - expected["scores"][there]).max()
        assert off <= 1e-5 * np.abs(expected["scores"][there]).max()
        np.testing.assert_allclose(answer["probabilities"], expected["probabilities"], rtol=0, atol=1e-5)


@each_backend
def test_users_that_were_encoded_in_calls_of_several_lengths_are_scored_in_one(
    variants: OnDemand, backend: str, variant: str
) -> None:
    bundle = open_bundle(variants[variant])
    whole, encoding, scoring = (bundle.session(backend, name) for name in OF_CLICKS)
    calls = [random_inputs(bundle.path, 1, length, n=4, signature=WHOLE) for length in (2, 7, 20)]
    names = [spec.name for spec in encoding.signature.inputs]
    vectors = [encoding({name: call[name] for name in names})["user_vector"] for call in calls]
    candidates = np.concatenate([call["candidates"] for call in calls])
    together = scoring({"user_vector": np.concatenate(vectors), "candidates": candidates})["probabilities"]
    apart = np.concatenate([whole(call)["probabilities"] for call in calls])
    np.testing.assert_allclose(together, apart, rtol=0, atol=1e-5)


@pytest.mark.bundle
def test_a_score_from_a_user_vector_that_is_not_that_of_the_history_is_not_exported(
    make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_user = ClickScorer.encode_user

    def without_the_newest_event(scorer: ClickScorer, user: Any) -> torch.Tensor:
        vector = encode_user(scorer, user).clone()
        vector[:, scorer.parts[0] + scorer.max_length - 1] = 0
        return vector

    monkeypatch.setattr(ClickScorer, "encode_user", without_the_newest_event)
    run = make_run("clicks", task="click", pooling="target", context=("gender",), beside=("kind",))
    with pytest.raises(CheckError, match=r"^onnx, score_candidates_from_user, case 'one_item': row 0 is off by"):
        export_bundle(run, tmp_path / "bundle", ExportSettings(formats=("onnx",), signatures=OF_CLICKS))
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("form", sorted(SEES_CANDIDATES))
def test_a_model_whose_history_depends_on_the_candidate_has_no_user_vector(form: str) -> None:
    _, config = model_of(form)
    assert signatures_of(config) == (WHOLE,)


def test_a_user_vector_is_refused_by_name_where_the_history_depends_on_the_candidate(
    make_run: Any, bst_command: Command, tmp_path: Path
) -> None:
    run = make_run("clicks_full", task="click", pooling="mean", mask="full", places="oldest")
    code = bst_command("export", run, "--out", tmp_path / "bundle", "--signatures", f"{ENCODING},{SCORING}")
    refused(
        code,
        "signature 'encode_user' keeps a history that no candidate changes, and this model computes it anew for each: "
        "mask='full', num_blocks=1, pooling='mean'; give --signatures score_candidates",
    )
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(("name", "missing"), [(ENCODING, SCORING), (SCORING, ENCODING)])
def test_one_of_the_two_signatures_alone_is_refused(
    make_run: Any, bst_command: Command, tmp_path: Path, name: str, missing: str
) -> None:
    run = make_run("clicks", task="click", pooling="target", context=("gender",), beside=("kind",))
    code = bst_command("export", run, "--out", tmp_path / "bundle", "--signatures", name)
    refused(
        code,
        f"signatures encode_user and score_candidates_from_user of a click model are proven together; add {missing}",
    )


def test_a_next_item_model_is_scored_by_its_output_layer(run_path: Path, bst_command: Command, tmp_path: Path) -> None:
    code = bst_command("export", run_path, "--out", tmp_path / "bundle", "--signatures", SCORING)
    refused(
        code,
        "signature 'score_candidates_from_user' is of click models, and this is one of task 'next_item'; "
        "give --signatures all_scores,top_k,score_candidates,encode_user",
    )


def test_a_user_vector_of_another_width_is_refused(variants: OnDemand) -> None:
    scoring = open_bundle(variants["clicks"]).session("onnxruntime", SCORING)
    with pytest.raises(InputError, match=r"user_vector has shape \[1, 7\], where \d+ is \d+"):
        scoring({"candidates": np.array([[11]]), "user_vector": np.zeros((1, 7), dtype=np.float32)})


@pytest.mark.parametrize("name", [ENCODING, SCORING])
def test_the_bench_times_the_whole_of_a_click_model(variants: OnDemand, bst_command: Command, name: str) -> None:
    code = bst_command("bench", variants["clicks"], "--signature", name)
    refused(code, f"--signature {name} is a part of score_candidates, which is timed of a click model; ask for that")
