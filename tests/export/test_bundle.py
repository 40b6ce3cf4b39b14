"""A run becomes a bundle that answers like the model, proves itself, and fails when it should."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import export.bundle
from bst import CheckError, InputError, load_run
from export import Manifest, compare, export_bundle, open_bundle, verify_bundle
from export.onnx_graph import OPSETS
from export.parity import runner_up

SIZES = [(batch, length) for batch in (1, 2, 3, 64, 257) for length in (1, 7, 12, 20)]
BACKENDS = ("torchscript", "onnxruntime")


def random_inputs(path: Path, batch: int, length: int) -> dict[str, np.ndarray]:
    bundle = open_bundle(path)
    rng = np.random.default_rng(batch * 1000 + length)
    count = bundle.manifest.items.count
    items = rng.integers(0, count + 1, (batch, length))
    context = {name: rng.integers(0, facts.count + 1, batch) for name, facts in bundle.manifest.context.items()}
    if bundle.manifest.ids == "index":
        return {"items": items, "context": np.stack(list(context.values()), axis=1)} if context else {"items": items}
    raw = {name: bundle.vocabularies.context[name].raw(values) for name, values in context.items()}
    return {"history": bundle.vocabularies.items.raw(items), **raw}


@pytest.fixture(scope="session")
def variants(
    make_run: Callable[..., Path], exported: tuple[Path, Manifest], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Bundles that differ in all that the export has to tell apart."""
    folder = tmp_path_factory.mktemp("variants")
    runs = {
        "text_ids": make_run("text_ids", text=True),
        "no_context": make_run("no_context", context=()),
        "tied_mean": make_run("tied_mean", tied_output=True, head_widths=(), pooling="mean"),
        "length_one": make_run("length_one", max_length=1),
    }
    for name, run in runs.items():
        export_bundle(run, folder / name, k=5)
    export_bundle(runs["text_ids"], folder / "index", k=5, ids="index")
    export_bundle(runs["no_context"], folder / "index_no_context", k=5, ids="index")
    return {"raw_ids": exported[0], **{path.name: path for path in folder.iterdir()}}


VARIANTS = ("raw_ids", "text_ids", "no_context", "tied_mean", "length_one", "index", "index_no_context")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("signature", ["all_scores", "top_k"])
def test_every_format_answers_like_eager_at_sizes_it_was_not_exported_with(
    variants: dict[str, Path], variant: str, signature: str
) -> None:
    bundle = open_bundle(variants[variant])
    stated = bundle.manifest.signature(signature)
    eager, eager_scores = bundle.session("eager", signature), bundle.session("eager", "all_scores")
    for backend in BACKENDS:
        session = bundle.session(backend, signature)
        for batch, length in SIZES:
            inputs = random_inputs(bundle.path, batch, length)
            expected = eager(inputs)
            if signature == "top_k":
                expected["runner_up"] = runner_up(eager_scores(inputs)["scores"], 5)
            comparison = compare(stated, expected, session(inputs))
            assert comparison.failure is None, (backend, batch, length)
            assert comparison.error <= 1e-5


@pytest.mark.parametrize("backend", ["eager", *BACKENDS])
def test_a_bundle_scores_as_the_run_that_it_came_from(run_path: Path, tmp_path: Path, backend: str) -> None:
    export_bundle(run_path, tmp_path / "bundle", k=5, ids="index")
    items, context = np.array([[4, 9, 1, 40, 7]]), np.array([[1, 2]])
    with torch.inference_mode():
        expected = load_run(run_path).model(torch.from_numpy(items), torch.from_numpy(context))[:, 1:].numpy()
    found = open_bundle(tmp_path / "bundle").session(backend, "all_scores")({"items": items, "context": context})
    assert np.allclose(found["scores"], expected, atol=1e-6)


@pytest.mark.parametrize("backend", ["eager", *BACKENDS])
def test_unknown_ids_negative_ids_and_padding_are_ignored_alike(variants: dict[str, Path], backend: str) -> None:
    for variant, strangers in (
        ("raw_ids", [0, -5, 10**12]),
        ("text_ids", ["", "nobody", "-1"]),
        ("index", [0, -1, 10**9]),
    ):
        bundle = open_bundle(variants[variant])
        inputs = random_inputs(bundle.path, 1, 4)
        name = bundle.manifest.signature("top_k").inputs[0].name
        row = inputs[name][0]
        mixed = np.array([[strangers[0], row[0], strangers[1], row[1], row[2], strangers[2], row[3]]], dtype=row.dtype)
        session = bundle.session(backend, "all_scores")
        plain, with_strangers = session(inputs)["scores"], session({**inputs, name: mixed})["scores"]
        assert np.allclose(plain, with_strangers, atol=1e-5), variant


@pytest.mark.parametrize("variant", ["raw_ids", "index"])
def test_the_onnx_file_itself_names_its_dynamic_axes(variants: dict[str, Path], variant: str) -> None:
    for signature in open_bundle(variants[variant]).manifest.signatures:
        session = onnxruntime.InferenceSession(variants[variant] / "onnx" / f"{signature.name}.onnx")
        found = {value.name: tuple(value.shape) for value in (*session.get_inputs(), *session.get_outputs())}
        assert found == {spec.name: spec.shape for spec in (*signature.inputs, *signature.outputs)}
        assert found[signature.inputs[0].name] == ("batch", "length")


def test_all_signatures_share_one_weight_file(bundle_path: Path) -> None:
    weights = (bundle_path / "onnx" / "weights.bin").stat().st_size
    parameters = sum(
        tensor.numel() for tensor in open_bundle(bundle_path).session("eager").method.__self__.parameters()
    )
    assert weights < 4 * parameters + 40 * 4096  # each large tensor once, and the gaps between pages
    for path in (bundle_path / "onnx").glob("*.onnx"):
        model = onnx.load(path, load_external_data=False)
        places = {
            entry.value for one in model.graph.initializer for entry in one.external_data if entry.key == "location"
        }
        assert places == {"weights.bin"}
        assert {opset.domain for opset in model.opset_import} <= {"", "ai.onnx.ml"}  # no operators of one runtime alone


@pytest.mark.parametrize("opset", OPSETS)
def test_every_supported_opset_exports(run_path: Path, tmp_path: Path, opset: int) -> None:
    manifest = export_bundle(run_path, tmp_path / "bundle", k=3, opset=opset, formats=("onnx",))
    model = onnx.load(tmp_path / "bundle" / "onnx" / "top_k.onnx", load_external_data=False)
    assert {entry.version for entry in model.opset_import if entry.domain == ""} == {opset}
    assert manifest.formats == ("onnx",)


def test_torchscript_holds_no_device(bundle_path: Path) -> None:
    with zipfile.ZipFile(bundle_path / "torchscript" / "model.pt") as archive:
        code = "".join(archive.read(name).decode() for name in archive.namelist() if name.endswith(".py"))
    assert "all_scores" in code
    assert 'torch.device("' not in code


def test_a_bundle_verifies_and_says_what_it_replayed(bundle_path: Path) -> None:
    verdicts = list(verify_bundle(bundle_path))
    assert {(one.format, one.signature) for one in verdicts} == {
        (form, name) for form in ("onnx", "torchscript") for name in ("all_scores", "top_k")
    }
    assert all(one.cases >= 20 and one.max_error <= 1e-5 for one in verdicts)


def test_the_named_edge_cases_are_among_the_golden_vectors(bundle_path: Path) -> None:
    names = {case["name"] for case in json.loads((bundle_path / "golden" / "top_k.json").read_text())["cases"]}
    assert names >= {"empty", "one_item", "full", "longer_than_max_length", "all_the_same", "padding_left"}
    assert names >= {"padding_middle", "padding_right", "unknown_ids", "negative_ids", "duplicates", "users_64x12"}


def test_golden_pb_files_hold_what_the_json_says(bundle_path: Path) -> None:
    signature = open_bundle(bundle_path).manifest.signature("top_k")
    cases = json.loads((bundle_path / "golden" / "top_k.json").read_text())["cases"]
    session = onnxruntime.InferenceSession(bundle_path / "onnx" / "top_k.onnx")
    for number in (0, 5, len(cases) - 1):
        folder = bundle_path / "golden" / "top_k" / f"test_data_set_{number}"
        tensors = [onnx.load_tensor(folder / f"input_{place}.pb") for place in range(len(signature.inputs))]
        feeds = {one.name: onnx.numpy_helper.to_array(one) for one in tensors}
        feeds = {name: array.astype(object) if array.dtype.kind in "SU" else array for name, array in feeds.items()}
        assert session.run(None, feeds)[0].tolist() == cases[number]["outputs"]["item_ids"]


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "copied"))


def _rehash(bundle: Path) -> None:
    """Make the manifest agree with the files, as somebody would who wants to hide a change."""
    from export.manifest import list_files

    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"] = [record.model_dump() for record in list_files(bundle)]
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_one_altered_byte_is_named_with_both_hashes(copied: Path) -> None:
    path = copied / "onnx" / "weights.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        CheckError, match=r"onnx/weights\.bin is altered: sha256 [0-9a-f]{64}, the manifest says [0-9a-f]{64}"
    ):
        list(verify_bundle(copied))


def test_a_missing_and_a_strange_file_are_both_named(copied: Path) -> None:
    (copied / "golden" / "top_k.json").rename(copied / "stranger.json")
    with pytest.raises(CheckError, match=r"golden/top_k\.json is missing; stranger\.json is not in the manifest"):
        list(verify_bundle(copied))


def test_altered_weights_fail_on_the_golden_vectors_even_with_new_hashes(copied: Path) -> None:
    path = copied / "onnx" / "weights.bin"
    weights = np.frombuffer(path.read_bytes(), dtype=np.float32).copy()
    path.write_bytes((weights * np.float32(1.001)).tobytes())
    _rehash(copied)
    with pytest.raises(CheckError, match=r"onnx, all_scores, golden case '[a-z_]+': row 0 is off by"):
        list(verify_bundle(copied))


def test_an_altered_golden_value_fails(copied: Path) -> None:
    path = copied / "golden" / "top_k.json"
    golden = json.loads(path.read_text())
    golden["cases"][3]["outputs"]["scores"][0][0] += 0.01
    path.write_text(json.dumps(golden))
    _rehash(copied)
    with pytest.raises(CheckError, match="golden case 'full': row 0 is off by"):
        list(verify_bundle(copied))


def test_a_format_that_disagrees_leaves_nothing_behind(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = export.bundle.save_onnx

    def spoilt(scorer: torch.nn.Module, *arguments: object, **options: object) -> None:
        scorer.model.item_embedding.weight.data[3] += 0.01
        original(scorer, *arguments, **options)
        scorer.model.item_embedding.weight.data[3] -= 0.01

    monkeypatch.setattr(export.bundle, "save_onnx", spoilt)
    with pytest.raises(CheckError, match=r"onnx, all_scores, case '[a-z0-9_]+': row [0-9]+ is off by"):
        export_bundle(run_path, tmp_path / "bundle", k=3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k=0 is not between 1 and the catalogue's 40 items"),
        ({"k": 41}, "k=41 is not between 1 and the catalogue's 40 items"),
        ({"formats": ("onnx", "coreml")}, "formats coreml cannot be exported; known: onnx, torchscript"),
        ({"formats": ()}, "formats none cannot be exported"),
        ({"opset": 12}, "opset 12 is not supported; known: 18, 20, 23"),
    ],
)
def test_bad_options_are_refused_and_leave_nothing(
    run_path: Path, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export_bundle(run_path, tmp_path / "bundle", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_never_touched(run_path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(InputError, match="exists; give another --out"):
        export_bundle(run_path, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"history": np.array([[1.5]])}, "history holds float64, not int64"),
        ({"history": np.array([1, 2])}, r"history has shape \[2\]"),
        ({"gender": np.array(["F", "M"], dtype=object)}, "gender has shape .2., where batch is 1"),
        ({"gender": np.array([1])}, "gender holds int64, not string"),
        ({"age": np.array([1])}, "age is not an input"),
        ({"history": np.zeros((1, 0), dtype=np.int64)}, r"history has shape \[1, 0\]"),
    ],
)
def test_bad_inputs_of_a_session_are_named_with_what_it_takes(
    bundle_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    inputs = random_inputs(bundle_path, 1, 3)
    with pytest.raises(InputError, match=message) as raised:
        open_bundle(bundle_path).session("onnxruntime")({**inputs, **change})
    assert "it takes history int64 ['batch', 'length'], gender string ['batch']" in str(raised.value)


def test_a_missing_input_is_named(bundle_path: Path) -> None:
    inputs = random_inputs(bundle_path, 1, 3)
    del inputs["region"]
    with pytest.raises(InputError, match="region is missing"):
        open_bundle(bundle_path).session("torchscript")(inputs)


def test_small_integers_are_widened(bundle_path: Path) -> None:
    inputs = random_inputs(bundle_path, 2, 5)
    session = open_bundle(bundle_path).session("torchscript", "all_scores")
    narrow = {**inputs, "history": inputs["history"].astype(np.int32)}
    assert np.array_equal(session(inputs)["scores"], session(narrow)["scores"])


def test_a_bundle_of_a_later_schema_is_refused(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(InputError, match="schema_version=99, this version reads 1"):
        open_bundle(copied)


def test_the_card_speaks_of_this_model(bundle_path: Path) -> None:
    card = (bundle_path / "README.md").read_text()
    assert "scores 40 items" in card
    assert "`gender` (2 categories, '' if unknown)" in card


def test_the_python_snippet_of_the_card_runs(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (bundle_path / "README.md").read_text()
    snippet = card.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(bundle_path)
    found: dict[str, np.ndarray] = {}
    exec(snippet, found)
    assert found["item_ids"].shape == (1, 5)
