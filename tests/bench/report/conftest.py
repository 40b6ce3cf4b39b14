"""One measured record for all tests of reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import BenchRecord, measure_bundle
from bench.record.record import read_record
from bst.system.files import to_json
from tests.bench.conftest import shorten
from tests.bench.modes.test_measure import SHORT
from tests.builds import Builds

CONFIG = SHORT.model_copy(
    update={"backends": ("eager", "onnxruntime"), "launches": 3, "rounds": 2, "round_seconds": 0.02}
)


@pytest.fixture(scope="session")
def record(builds: Builds, bundle_path: Path) -> BenchRecord:
    def build(folder: Path) -> None:
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            shorten(patch)
            (folder / "bench.json").write_text(to_json(measure_bundle(bundle_path, CONFIG).to_dict()))

    return read_record(builds.get("bench-record", build) / "bench.json")
