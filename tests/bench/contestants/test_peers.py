"""The opponents that a person may name."""

from pathlib import Path

import pytest

from bench import measure_bundle
from tests.bench.modes.test_measure import SHORT


@pytest.mark.slow  # `tests/test_extensions.py` measures one alone
def test_an_opponent_in_backends_is_built_without_the_others(bundle_path: Path) -> None:
    asked = SHORT.model_copy(update={"backends": ("onnxruntime", "plain-onnx-int8"), "batch_sizes": (1,)})
    found = measure_bundle(bundle_path, asked)
    assert [row.backend for row in found.latency] == ["onnxruntime", "plain-onnx-int8"]
    assert [row.peer for row in found.latency] == [False, True]
    assert not found.unavailable
