"""Messages about a format that is not equal to the model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bst import load_run
from export import open_bundle
from export.proof.eager import answer
from export.proof.golden import cases
from export.proof.prove import PartedError, prove


@pytest.mark.parametrize(("error_of_float32", "is_told"), [(1e-3, True), (0.0, False)])
def test_where_float32_cannot_compute_a_model_the_message_says_so(
    error_of_float32: float, is_told: bool, run_path: Path, bundle_path: Path
) -> None:
    run, bundle = load_run(run_path), open_bundle(bundle_path)
    settings, signature = bundle.manifest.settings, bundle.manifest.signature("all_scores", "raw")
    asked = cases(run.config.model, run.heldout, settings.top_k)[:1]
    (answers,) = answer(run.model, run.config.model, run.vocabularies, settings, [signature], asked)
    (golden,) = answers.golden
    wrong = replace(golden, outputs={"scores": golden.outputs["scores"] * np.float32(1 + 1e-4)})
    truth = [wrong.outputs["scores"].astype(np.float64) * (1 + error_of_float32)]
    session = bundle.session("onnxruntime", "all_scores", threads=1)
    with pytest.raises(PartedError, match=r"^onnx, all_scores, case ") as told:
        prove("onnx", replace(answers, golden=[wrong], truth=truth), session, run.vocabularies, run.config.model)
    assert ("eager float32 itself is off by 9.99e-04 from float64" in str(told.value)) is is_told
