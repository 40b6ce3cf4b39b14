"""ONNX files that hold their weights themselves, and what other tools do with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

from bst import InputError
from bst.run.folder import load_run
from export import ExportSettings, TopK, export_bundle, open_bundle, verify_bundle
from export.formats import FORMATS
from export.formats.torchscript_archive import load_torchscript
from tests.builds import Builds
from tests.conftest import random_inputs

pytestmark = pytest.mark.bundle
SETTINGS = ExportSettings(
    top_k=TopK(limit=5),
    formats=("onnx",),
    signatures=("all_scores", "top_k", "encode_user"),
    single_file=True,
    golden="none",
)


@pytest.fixture(scope="session")
def single(builds: Builds, make_run: Callable[..., Path]) -> Path:
    run = make_run("two_blocks", num_blocks=2)
    return builds.get("bundle-single", lambda path: export_bundle(run, path, SETTINGS))


def test_a_file_a_signature_answers_from_its_bytes_alone(single: Path) -> None:
    files = {path.name for path in (single / "onnx").iterdir()}
    assert files == {"all_scores.onnx", "top_k.onnx", "encode_user.onnx"}
    session = onnxruntime.InferenceSession((single / "onnx" / "top_k.onnx").read_bytes())
    inputs = random_inputs(single, 3, 6, signature="top_k")
    wanted = open_bundle(single).session("eager", "top_k")(inputs)
    ids, scores = session.run(None, inputs)
    assert np.array_equal(ids, wanted["item_ids"])
    assert np.allclose(scores, wanted["scores"], atol=1e-6)


def test_a_bundle_without_golden_vectors_is_loaded_and_says_that_nothing_was_replayed(single: Path) -> None:
    assert not (single / "golden").exists()
    assert [(one.signature, one.cases, one.max_error) for one in verify_bundle(single)] == [
        (name, 0, None) for name in SETTINGS.signatures
    ]
    with pytest.raises(InputError, match="does not say where its output layer lies"):
        open_bundle(single).output_layer()


@pytest.mark.parametrize("name", SETTINGS.signatures)
def test_symbolic_shape_inference_and_preparing_for_quantization_run_through(
    single: Path, name: str, tmp_path: Path
) -> None:
    path = single / "onnx" / f"{name}.onnx"
    shapes = SymbolicShapeInference.infer_shapes(onnx.load(path))
    assert [value.name for value in shapes.graph.output] == [value.name for value in onnx.load(path).graph.output]
    quant_pre_process(str(path), str(tmp_path / "prepared.onnx"))
    onnxruntime.InferenceSession(tmp_path / "prepared.onnx")


def test_two_signatures_can_be_merged_into_one_graph(single: Path) -> None:
    first, second = (onnx.load(single / "onnx" / f"{name}.onnx") for name in ("all_scores", "top_k"))
    merged = onnx.compose.merge_models(first, second, io_map=[], prefix1="a/", prefix2="b/")
    session = onnxruntime.InferenceSession(merged.SerializeToString())
    assert {value.name for value in session.get_outputs()} == {"a/scores", "b/item_ids", "b/scores"}


def test_weights_that_one_file_cannot_hold_are_refused_before_any_work(run_path: Path) -> None:
    model = load_run(run_path).config.model.model_copy(update={"num_items": 10**9})
    with pytest.raises(InputError, match=r"the weights have [\d,.]+ GB, .* leave out --single-file"):
        FORMATS.find("onnx").require(model, SETTINGS)


def test_forward_of_the_scripted_model_is_the_first_signature(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    assert bundle.manifest.settings.signatures[0] == "all_scores"
    module = load_torchscript(bundle_path / "torchscript" / "model.pt")
    inputs = random_inputs(bundle_path, 2, 4)
    signature = bundle.manifest.signature("all_scores")
    given = [
        inputs[spec.name].tolist() if spec.dtype == "string" else torch.from_numpy(inputs[spec.name])
        for spec in signature.inputs
    ]
    assert torch.equal(module(*given), module.all_scores(*given))
