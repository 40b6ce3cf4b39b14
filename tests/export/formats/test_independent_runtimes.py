"""Runtimes that share no code with ONNX Runtime or torch give the golden answers of an index-level bundle."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import pytest

from export import compare, open_bundle
from export.contract.signatures import signatures_of_task
from export.proof.golden import read_golden
from tests.conftest import held_by

Arrays = dict[str, np.ndarray]
Load = Callable[[Path], Callable[[Arrays], list[np.ndarray]]]


def reference_evaluator(path: Path) -> Callable[[Arrays], list[np.ndarray]]:
    model = onnx.load(path)  # with its external weights
    evaluator = onnx.reference.ReferenceEvaluator(model)
    return lambda inputs: list(evaluator.run(None, inputs))


def openvino(path: Path) -> Callable[[Arrays], list[np.ndarray]]:
    import openvino as ov

    core = ov.Core()
    # Without the hint OpenVINO computes in bfloat16 where the CPU can, and is 1e-2 off.
    compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda inputs: [np.array(part) for part in compiled(inputs).values()]


@pytest.mark.parametrize("runtime", [reference_evaluator, openvino])
@pytest.mark.parametrize(
    ("variant", "signature"),
    [(name, one) for name in ("index", "index_no_context") for one in held_by(name)],
)
def test_another_runtime_reproduces_the_golden_vectors(
    variants: dict[str, Path],
    variant: str,
    signature: str,
    runtime: Callable[[Path], Callable[[Arrays], list[np.ndarray]]],
) -> None:
    path = variants[variant]
    stated = open_bundle(path).manifest.signature(signature)
    run = runtime(path / "onnx" / f"{signature}.onnx")
    golden = read_golden(path / "golden", stated)
    for one in golden if runtime is openvino else golden[::4]:  # the evaluator is written to be read, not to be fast
        actual = dict(zip(stated.output_names, run(one.inputs), strict=True))
        comparison = compare(stated, one.outputs, actual)
        assert comparison.failure is None, one.name


@pytest.mark.parametrize("variant", ["raw_ids", "text_ids", "numbers_k_input", "index"])
def test_the_full_check_of_onnx_passes(variants: dict[str, Path], variant: str) -> None:
    for name in signatures_of_task("next_item"):
        onnx.checker.check_model(str(variants[variant] / "onnx" / f"{name}.onnx"), full_check=True)
