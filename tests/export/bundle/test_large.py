"""The cost of size: a model of gigabytes must not need many times its weights to be exported."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.models.random_model import parse_model, write_random_run

PEAK = """
import resource, sys
from pathlib import Path
import export
from export import ExportSettings, export_bundle
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
export_bundle(Path(sys.argv[1]), Path(sys.argv[2]))
print(before * 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_an_export_peaks_below_two_and_a_half_times_the_weights(tmp_path: Path) -> None:
    sizes = ["num_items=50000", "dim=1024", "num_heads=8", "head_widths=[2048]", "tied_output=false"]
    write_random_run(tmp_path / "run", parse_model([*sizes, "context=country:50"]))
    weights = (tmp_path / "run" / "model.safetensors").stat().st_size
    arguments = [sys.executable, "-W", "ignore", "-c", PEAK, tmp_path / "run", tmp_path / "bundle"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    before, peak = map(int, done.stdout.split())
    assert peak - before < 2.5 * weights
    size = sum(path.stat().st_size for path in (tmp_path / "bundle").rglob("*") if path.is_file())
    assert size < 4 * 1.1 * weights  # three formats, each with its weights once, and the plain weights
