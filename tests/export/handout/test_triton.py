"""`bst export --triton`: Triton's own reader reads the configuration, which says what the files are; all or nothing."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig
from tritonclient.utils import deserialize_bytes_tensor

import export.commands
import export.handout.triton
from export import compare, open_bundle
from export.contract.choices import Tuning
from export.contract.settings import SessionOptions
from export.contract.signatures import Signature, TensorSpec, signatures_of_task
from export.handout.triton import export_triton
from export.handout.triton_config import MAX_BATCH_SIZE, config_of, samples_of
from export.proof.golden import GoldenCall, read_golden
from tests.builds import Builds
from tests.conftest import Command, OnDemand, held_by

VARIANTS = ("raw_ids", "text_ids", "numbers_k_input", "index", "index_no_context")
ONNX_TYPES = {
    DataType.TYPE_INT64: onnx.TensorProto.INT64,
    DataType.TYPE_STRING: onnx.TensorProto.STRING,
    DataType.TYPE_FP32: onnx.TensorProto.FLOAT,
}
each = pytest.mark.parametrize(("variant", "signature"), [(name, one) for name in VARIANTS for one in held_by(name)])


@pytest.fixture(scope="module")
def repositories(variants: dict[str, Path], builds: Builds) -> OnDemand:
    def make(name: str) -> Path:
        return builds.get(f"triton-{name}", lambda path: export_triton(variants[name], path))

    return OnDemand(make)


def read_config(model: Path) -> Any:
    return text_format.Parse((model / "config.pbtxt").read_text(), ModelConfig())


def shape_of(tensor: Any, batched: bool) -> list[int]:
    """What the model gets: the batch that Triton leaves out, and what a reshape says."""
    dims = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
    return [-1, *dims] if batched else list(dims)


@each
def test_the_configuration_says_what_the_file_itself_says(
    repositories: dict[str, Path], variant: str, signature: str
) -> None:
    model = repositories[variant] / signature
    config = read_config(model)
    assert (config.name, config.backend) == (signature, "onnxruntime")
    graph = onnx.load(model / "1" / "model.onnx", load_external_data=False).graph
    for told, found in ((config.input, graph.input), (config.output, graph.output)):
        assert [one.name for one in told] == [one.name for one in found]
        for tensor, value in zip(told, found, strict=True):
            axes = [-1 if axis.dim_param else axis.dim_value for axis in value.type.tensor_type.shape.dim]
            assert shape_of(tensor, config.max_batch_size > 0) == axes
            assert ONNX_TYPES[tensor.data_type] == value.type.tensor_type.elem_type
            assert len(tensor.dims) > 0, "Triton takes no tensor without dims"
            assert all(size == -1 or size > 0 for size in tensor.dims)


@each
def test_calls_are_merged_unless_k_is_an_input(repositories: dict[str, Path], variant: str, signature: str) -> None:
    config = read_config(repositories[variant] / signature)
    batched = (variant, signature) != ("numbers_k_input", "top_k")
    assert config.max_batch_size == (MAX_BATCH_SIZE if batched else 0)
    assert config.HasField("dynamic_batching") == batched
    assert [group.kind for group in config.instance_group] == [config.instance_group[0].KIND_CPU]


@each
def test_warm_up_files_are_golden_inputs(
    repositories: dict[str, Path], variants: dict[str, Path], variant: str, signature: str
) -> None:
    stated = open_bundle(variants[variant]).manifest.signature(signature)
    golden = {one.name: one.inputs for one in read_golden(variants[variant] / "golden", stated)}
    config = read_config(repositories[variant] / signature)
    used = set()
    for sample in config.model_warmup:
        case = sample.name.split("_times_")[0]
        assert set(sample.inputs) == set(golden[case])
        for name, tensor in sample.inputs.items():
            used.add(tensor.input_data_file)
            content = (repositories[variant] / signature / "warmup" / tensor.input_data_file).read_bytes()
            want = golden[case][name]
            if tensor.data_type == DataType.TYPE_STRING:
                found = np.array([text.decode() for text in deserialize_bytes_tensor(content)], dtype=object)
            else:
                found = np.frombuffer(content, "<f4" if tensor.data_type == DataType.TYPE_FP32 else "<i8")
            assert found.size == np.prod(tensor.dims)
            if config.max_batch_size:  # one row, which the server repeats
                assert [-1, *tensor.dims] == [-1, *(want.shape[1:] or (1,))]
                want = want[0]
            else:
                assert tuple(tensor.dims) == want.shape
            np.testing.assert_array_equal(found, np.ravel(want))
    assert {path.name for path in (repositories[variant] / signature / "warmup").iterdir()} == used
    assert any(sample.batch_size > 1 or "batch" in sample.name for sample in config.model_warmup)


def test_what_a_large_catalogue_does_not_store_is_not_warmed_up_with() -> None:
    history = GoldenCall("full", {"items": np.array([[1, 2]])}, {})
    items = TensorSpec(name="items", dtype="int64", shape=("batch", "length"))
    stated = Signature(name="all_scores", ids="index", inputs=(items,), outputs=())
    assert [(one.case, one.batch_size) for one in samples_of(stated, [history])] == [("full", 1), ("full", 8)]


def answers(model: Path, golden: list[GoldenCall], stated: Signature) -> None:
    session = onnxruntime.InferenceSession(model / "1" / "model.onnx")
    for one in golden:
        actual = dict(zip(stated.output_names, session.run(list(stated.output_names), one.inputs), strict=True))
        assert compare(stated, one.outputs, actual).failure is None, one.name


@each
def test_the_files_in_place_give_the_golden_answers(
    repositories: dict[str, Path], variants: dict[str, Path], variant: str, signature: str
) -> None:
    stated = open_bundle(variants[variant]).manifest.signature(signature)
    golden = read_golden(variants[variant] / "golden", stated)
    answers(repositories[variant] / signature, golden, stated)


def test_every_model_loads_in_onnx_with_the_weights_of_the_bundle(
    repositories: dict[str, Path], variants: dict[str, Path]
) -> None:
    original = variants["raw_ids"] / "onnx" / "weights.bin"
    for name in signatures_of_task("next_item"):
        folder = repositories["raw_ids"] / name / "1"
        onnx.checker.check_model(folder / "model.onnx", full_check=True)
        onnx.load(folder / "model.onnx")
        assert (folder / "weights.bin").read_bytes() == original.read_bytes()


def test_without_golden_vectors_there_is_no_warm_up(variants: dict[str, Path], tmp_path: Path) -> None:
    copied = Path(shutil.copytree(variants["onnx_top_k"], tmp_path / "bundle"))
    shutil.rmtree(copied / "golden")
    export_triton(copied, tmp_path / "repository")
    assert list((tmp_path / "repository" / "top_k" / "warmup").iterdir()) == []
    assert not read_config(tmp_path / "repository" / "top_k").model_warmup


def test_a_failure_leaves_nothing_behind(
    variants: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def full_disk(*arguments: Any) -> str:
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError("No space left on device")
        return config_of(*arguments)

    monkeypatch.setattr(export.handout.triton, "config_of", full_disk)
    with pytest.raises(OSError, match="No space left"):
        export_triton(variants["index"], tmp_path / "repository")
    assert list(tmp_path.iterdir()) == []


def test_an_altered_bundle_is_not_served(bst_command: Command, variants: dict[str, Path], tmp_path: Path) -> None:
    copied = shutil.copytree(variants["index"], tmp_path / "bundle")
    with (copied / "onnx" / "weights.bin").open("r+b") as stream:
        stream.write(b"\1")
    code, _, err = bst_command("export", copied, "--triton", tmp_path / "repository")
    assert code == 1
    assert "onnx/weights.bin is altered" in err
    assert not (tmp_path / "repository").exists()


def test_advised_session_options_become_parameters(variants: dict[str, Path]) -> None:
    manifest = open_bundle(variants["index"]).manifest
    stated = manifest.signature("top_k")
    samples = samples_of(stated, read_golden(variants["index"] / "golden", stated))
    assert not text_format.Parse(config_of(manifest, stated, samples), ModelConfig()).parameters
    options = SessionOptions(threads=1, arena=False, spinning=False)
    tuned = manifest.model_copy(update={"tuning": Tuning(cpu="some", cores=2, options=options, rows=())})
    text = config_of(tuned, stated, samples)
    found = text_format.Parse(text, ModelConfig()).parameters
    assert {key: one.string_value for key, one in found.items()} == {
        "intra_op_thread_count": "1",
        "enable_mem_arena": "0",
    }
    assert "no spinning" in text


def test_only_where_padding_does_not_count_is_padding_advised(variants: dict[str, Path]) -> None:
    manifest = open_bundle(variants["index"]).manifest
    counted = manifest.model_copy(update={"model": manifest.model.model_copy(update={"padding": "counted"})})
    stated = manifest.signature("encode_user")
    samples = samples_of(stated, read_golden(variants["index"] / "golden", stated))
    assert "# Pad histories in front" in config_of(manifest, stated, samples)
    assert "# Do not pad histories" in config_of(counted, stated, samples)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_example_in_the_readme_fits_the_configuration(repositories: dict[str, Path], variant: str) -> None:
    (line,) = re.findall(r"^curl .*$", (repositories[variant] / "README.md").read_text(), flags=re.MULTILINE)
    *_, url, _, body = shlex.split(line)
    config = read_config(repositories[variant] / url.split("/")[-2])
    given = {one["name"]: one for one in json.loads(body)["inputs"]}
    assert list(given) == [one.name for one in config.input]
    for tensor in config.input:
        dims = [-1, *tensor.dims] if config.max_batch_size else tensor.dims
        shape = given[tensor.name]["shape"]
        assert len(shape) == len(dims)
        assert all(size in (-1, found) for size, found in zip(dims, shape, strict=True))
        assert np.prod(shape) == len(given[tensor.name]["data"])
