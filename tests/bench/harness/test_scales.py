"""An answer is wrong by the same rule in a measurement as in the proof of the export."""

from __future__ import annotations

import numpy as np
import pytest

from bench.contestants.backends import BACKENDS
from bench.harness.cases import draw_inputs
from bench.harness.scales import add_scales
from bench.record.record import REFERENCE, Case
from export import compare, open_bundle
from export.contract.parity import LARGEST, TOLERANCE
from export.contract.signatures import SCORE_CANDIDATES
from export.proof.golden import read_golden
from tests.conftest import OnDemand


@pytest.mark.parametrize("variant", ["clicks", "score_candidates"])
def test_a_single_score_near_0_is_right_by_the_scale_of_the_proof_and_wrong_beyond_it(
    variants: OnDemand, variant: str
) -> None:
    bundle = open_bundle(variants[variant])
    signature = bundle.manifest.signature(SCORE_CANDIDATES)
    case = Case(num_items=bundle.manifest.items.count, batch_size=1, length=0, candidates=1, threads=1)
    inputs = draw_inputs(bundle, SCORE_CANDIDATES, case, 0)
    reference = BACKENDS.find(REFERENCE)
    session = reference.open(bundle, SCORE_CANDIDATES, 1)
    answers = [dict(session(call)) for call in inputs]
    for answer in answers:  # near 0 by chance
        answer["scores"] = answer["scores"] * np.float32(1e-3)
        if "probabilities" in answer:
            answer["probabilities"] = 1 / (1 + np.exp(-answer["scores"]))
    add_scales(answers, inputs, bundle, SCORE_CANDIDATES, reference, 1)
    for answer in answers:
        scale = float(answer[LARGEST].max())
        off = {
            part: answer | {"scores": answer["scores"] + np.float32(part * TOLERANCE * scale)} for part in (0.9, 1.5)
        }
        assert compare(signature, answer, off[0.9]).failure is None
        assert "is off by" in str(compare(signature, answer, off[1.5]).failure)
    assert any(np.abs(answer["scores"]).max() < 0.1 * answer[LARGEST].max() for answer in answers)


def test_the_scale_of_a_click_model_is_the_least_of_its_golden_calls(variants: OnDemand) -> None:
    bundle = open_bundle(variants["clicks"])
    answers = [{"scores": np.ones((2, 1), np.float32)}]
    add_scales(answers, [{}], bundle, SCORE_CANDIDATES, BACKENDS.find(REFERENCE), 1)
    golden = read_golden(bundle.path / "golden", bundle.manifest.signature(SCORE_CANDIDATES))
    usual = min(call.outputs[LARGEST].min() for call in golden)
    assert (answers[0][LARGEST] == usual).all()
    assert all((call.outputs[LARGEST] >= usual).all() for call in golden)
    most = max(call.outputs["scores"].shape[1] for call in golden)
    of_most = [np.abs(call.outputs["scores"]).max(axis=1) for call in golden if call.outputs["scores"].shape[1] == most]
    assert 0 < usual <= np.concatenate(of_most).max()
