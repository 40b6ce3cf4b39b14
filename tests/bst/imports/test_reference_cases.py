"""Models that the libraries themselves trained and answered with, where they lie beside the project."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bst import load_run
from bst.errors import InputError
from bst.imports import import_fuxictr, import_torch_rechub
from tests.bst.imports.asking import logits

RANKERS = Path(__file__).parents[4] / "shared" / "reference" / "rankers"
IMPORTS = {"torch-rechub": import_torch_rechub, "fuxictr": import_fuxictr}
CASES = sorted(path.parent for library in IMPORTS for path in RANKERS.glob(f"{library}/case*/io.json"))
there = pytest.mark.skipif(not CASES, reason="the models of other libraries are not beside the project")


@there
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_a_request_gets_the_logits_of_the_library(case: Path, tmp_path: Path) -> None:
    IMPORTS[case.parent.name](case, tmp_path / "run")
    run = load_run(tmp_path / "run")
    recorded = np.load(case / "io.npz")["logit"].reshape(-1)
    for request in json.loads((case / "io.json").read_text())["requests"]:
        first, last = request["rows"]
        expected = recorded[first:last]
        difference = np.abs(logits(run, request).numpy() - expected).max()
        assert difference <= 5e-6 * np.abs(recorded).max(), request["name"]


@there
def test_a_model_of_an_older_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"torch-rechub 0.6 or 0.7"):
        import_torch_rechub(RANKERS / "torch-rechub" / "refuse_form_B", tmp_path / "run")
