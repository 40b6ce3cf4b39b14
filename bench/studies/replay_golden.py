"""A replay of a bundle's golden vectors in any ONNX Runtime, old ones too. It imports numpy, and nothing of bst.

    pip install --target OLD onnxruntime==1.17.0 'numpy<2'
    PYTHONPATH=OLD python bench/studies/replay_golden.py BUNDLE

Compares scores and user vectors, not rankings: `bst verify` does both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

DTYPES: dict[str, Any] = {"int64": np.int64, "string": object}


def replay(bundle: Path) -> tuple[int, float]:
    """Run every golden call of the ONNX files; return their number, and the largest difference relative to the
    largest score.
    """
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    record = next(entry for entry in manifest["formats"] if entry["name"] == "onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    calls, worst = 0, 0.0
    for signature in (entry for entry in manifest["signatures"] if entry["ids"] == record["ids"]):
        path = bundle / record["entries"][signature["name"]]["path"]
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        golden = json.loads((bundle / record["golden"] / f"{signature['name']}.json").read_text(encoding="utf-8"))
        name = signature["outputs"][-1]["name"]
        for case in golden["cases"]:
            feeds = {
                spec["name"]: np.array(case["inputs"][spec["name"]], dtype=DTYPES[spec["dtype"]])
                for spec in signature["inputs"]
            }
            (actual,) = session.run([name], feeds)
            expected = np.array(case["outputs"][name], dtype=np.float32)  # null, which stands for -inf, becomes NaN
            there = np.isfinite(expected)
            if not np.array_equal(np.isneginf(actual), ~there):
                sys.exit(f"{signature['name']}, {case['name']}: -inf stands elsewhere than expected")
            largest = max(
                float(np.abs(expected[there]).max(initial=0)), np.max(case["outputs"].get("largest_score", 0))
            )
            worst = max(worst, float(np.abs(actual - expected)[there].max(initial=0)) / largest)
            calls += 1
    return calls, worst


if __name__ == "__main__":
    count, error = replay(Path(sys.argv[1]))
    print(f"onnxruntime {onnxruntime.__version__}: {count} calls, largest difference {error:.1e} of the largest score")
