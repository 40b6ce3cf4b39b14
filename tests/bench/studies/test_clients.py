"""Clients are timed side by side, by what they say of themselves."""

import json
import sys
from pathlib import Path

import pytest

from bench.studies.clients import Measured, race, table, time_python
from bst.errors import CheckError, InputError

# Ends at once, and says that a call took the microseconds in its first argument.
SAYS = (
    f"{sys.executable} -c 'import sys, json; "
    'print(json.dumps(dict(runtime="none", format="onnx", p50_us=float(sys.argv[1]), p99_us=9)))\''
)


def test_the_ratio_to_python_is_taken_within_a_round() -> None:
    slow = [{"runtime": "r", "format": "onnx", "p50_us": value, "p99_us": 900.0} for value in (200.0, 400.0, 800.0)]
    quick = [{**line, "p50_us": line["p50_us"] / 2} for line in slow]
    ratio = Measured("quick", quick).speedup(Measured("python", slow))
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((2, 2, 2))
    told = table([Measured("python", slow), Measured("quick", quick)]).splitlines()
    assert told[2].endswith("| 1.00 (1.00 to 1.00), reference |")
    assert told[3].startswith("| quick | r | onnx | 200 ")
    assert told[3].endswith("| 2.00 (2.00 to 2.00), faster |")


def test_every_client_runs_once_a_round(tmp_path: Path) -> None:
    found = race({"python": f"{SAYS} 300 {{bundle}}", "other": f"{SAYS} 100 {{bundle}}"}, tmp_path, "full", 9, 3)
    assert {one.name: [line["p50_us"] for line in one.lines] for one in found} == {
        "python": [300.0] * 3,
        "other": [100.0] * 3,
    }


def test_a_client_that_fails_is_named_with_what_it_wrote(tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'import sys; sys.exit(\"no such file\")' {{bundle}}"
    with pytest.raises(CheckError, match="client other ended with exit code 1: no such file"):
        race({"other": command}, tmp_path, "full", 9, 2)


def test_python_is_timed_on_a_golden_case(bundle_path: Path) -> None:
    line = time_python(bundle_path, "full", 30)
    assert json.loads(json.dumps(line)) == line
    assert (line["rows"], line["length"], line["threads"], line["calls"]) == (1, 12, 1, 30)
    assert 0 < line["p50_us"] <= line["p99_us"]
    with pytest.raises(InputError, match="--case none is not a golden case of top_k; known: empty"):
        time_python(bundle_path, "none", 30)
