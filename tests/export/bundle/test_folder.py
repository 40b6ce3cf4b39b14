"""A bundle proves itself, says what is wrong when it cannot, and takes nothing but what its signatures state."""

import gc
import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from bst import CheckError, InputError
from export import ExportSettings, Verdict, export_bundle, open_bundle, verify_bundle
from export.contract.contents import check_files
from export.contract.model_signatures import signatures_of
from export.contract.rules import read_manifest
from export.contract.signatures import signatures_of_task
from export.sessions.session import one_at_a_time
from tests.conftest import VARIANTS, random_inputs
from tests.reliability.guards.strangers import seal


def test_a_bundle_verifies_and_says_what_it_replayed(bundle_path: Path) -> None:
    verdicts = list(verify_bundle(bundle_path))
    assert {(one.format, one.signature) for one in verdicts} == {
        (form, name) for form in ("onnx", "torchscript", "pt2") for name in signatures_of_task("next_item")
    }
    assert all(
        isinstance(one, Verdict) and one.cases >= 20 and one.max_error is not None and one.max_error <= 1e-5
        for one in verdicts
    )


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_bundle_verifies_with_all_formats_and_signatures(
    run_of: Callable[[str], Path], variant: str, tmp_path: Path
) -> None:
    of, settings = VARIANTS[variant]
    whole = ExportSettings(top_k=settings.top_k, ids=settings.ids)
    manifest = export_bundle(run_of(of), tmp_path / "bundle", whole)
    assert [(one.format, one.signature) for one in verify_bundle(tmp_path / "bundle")] == [
        (form, name) for form in whole.formats for name in signatures_of(manifest.model)
    ]


@pytest.fixture
def copied(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "copied"))


def test_one_altered_byte_is_named_with_both_hashes(copied: Path) -> None:
    path = copied / "onnx" / "weights.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        CheckError, match=r"onnx/weights\.bin is altered: sha256 [0-9a-f]{64}, the manifest says [0-9a-f]{64}"
    ):
        list(verify_bundle(copied))


def test_all_that_is_missing_is_one_line(copied: Path) -> None:
    for path in ("vocabulary.json", "model.safetensors", "onnx/weights.bin"):
        (copied / path).unlink()
    with pytest.raises(CheckError, match=r"model\.safetensors is missing; onnx/weights\.bin is missing; vocab.* is"):
        list(verify_bundle(copied))
    shutil.rmtree(copied / "onnx")
    shutil.rmtree(copied / "pt2")
    with pytest.raises(CheckError, match=r"is missing; and 3 more; export again or restore the files$"):
        list(verify_bundle(copied))


def test_altered_weights_fail_on_the_golden_vectors_even_with_new_hashes(copied: Path) -> None:
    path = copied / "onnx" / "weights.bin"
    weights = np.frombuffer(path.read_bytes(), dtype=np.float32).copy()
    path.write_bytes((weights * np.float32(1.001)).tobytes())
    seal(copied)
    with pytest.raises(CheckError, match=r"onnx, all_scores, golden case '[a-z_0-9]+': row \d+ is off by"):
        list(verify_bundle(copied))


def test_the_worst_row_of_all_golden_calls_is_named(copied: Path) -> None:
    path = copied / "golden" / "top_k.json"
    golden = json.loads(path.read_text())
    places = {case["name"]: case["outputs"]["scores"] for case in golden["cases"]}
    places["full"][0][0] += 0.01
    places["users_3x12"][2][0] += 5.0
    path.write_text(json.dumps(golden))
    seal(copied)
    with pytest.raises(
        CheckError, match=r"onnx, top_k, golden case 'users_3x12': row 2 is off by .* \(2 of 28 calls fail\)"
    ):
        list(verify_bundle(copied))


def test_a_damaged_program_is_named(copied: Path) -> None:
    (copied / "pt2" / "model.pt2").write_bytes(b"not an archive")
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["formats"].reverse()  # it is the first to be read
    (copied / "manifest.json").write_text(json.dumps(manifest))
    seal(copied)
    with pytest.raises(CheckError, match=r"pt2/model\.pt2 does not load as a torch\.export archive with 'all_scores'"):
        list(verify_bundle(copied))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda manifest: manifest.update(tolerance=1.0), r"tolerance=1\.0 is not above 0 and at most 1e-05"),
        (lambda manifest: manifest.update(formats=[]), "it holds no format or no signature"),
        (
            lambda manifest: manifest["formats"][1]["entries"]["top_k"].update(path="../other/model.pt"),
            r"\.\./other/model\.pt is not among its files",
        ),
        (
            lambda manifest: manifest["files"].append({"path": "../x", "bytes": 1, "sha256": "0" * 64}),
            r"\.\./x leads out of the bundle",
        ),
    ],
)
def test_a_manifest_that_would_let_anything_pass_is_refused(
    copied: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    change(manifest)
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=message):
        open_bundle(copied)


def test_an_output_layer_in_another_place_fails(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.bundle.folder.replay", lambda *given: None)  # what comes before it in `verify_bundle`
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["output_layer"]["weights"]["offset"] += 4
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckError, match="the output layer is not where the manifest says: row 0 is off by"):
        list(verify_bundle(copied))


def test_sessions_that_nobody_holds_are_gone_before_the_next_and_nothing_stays_frozen() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

    frozen = gc.get_freeze_count()
    with one_at_a_time() as collect, one_at_a_time():
        session = weakref.ref(Cycle())
        assert session() is not None
        collect()
        assert session() is None
    assert gc.get_freeze_count() == frozen


def test_a_second_manifest_further_down_is_a_stranger(bundle_path: Path, tmp_path: Path) -> None:
    manifest = read_manifest(bundle_path)
    copied = shutil.copytree(bundle_path, tmp_path / "bundle")
    (copied / "onnx" / "manifest.json").write_text("{}")
    assert check_files(copied, manifest) == ["not of the bundle, and left alone: onnx/manifest.json"]


def test_a_call_that_the_runtime_refuses_is_one_line(bundle_path: Path) -> None:
    session = open_bundle(bundle_path).session("onnxruntime")
    session.run = lambda prepared: session.session.run(["nothing"], prepared)  # type: ignore[attr-defined, method-assign]
    with pytest.raises(CheckError, match="top_k fails in its runtime: "):
        session(random_inputs(bundle_path, 1, 3))


def test_a_format_that_cannot_run_here_is_not_loaded(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["formats"][0]["needs"]["machine"] = "s390x"
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckError, match="onnx is machine code for s390x, this machine is"):
        list(verify_bundle(copied))
    with pytest.raises(InputError, match="onnx is machine code for s390x"):
        open_bundle(copied).session("onnxruntime")


def test_a_bundle_of_another_schema_is_refused(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    (copied / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    with pytest.raises(InputError, match=r"schema_version=99, this version reads 4\.\*"):
        open_bundle(copied)


def test_a_manifest_without_a_field_is_one_short_line(copied: Path) -> None:
    manifest = json.loads((copied / "manifest.json").read_text())
    del manifest["model"]
    (copied / "manifest.json").write_text(json.dumps({**manifest, "parity": {"a": list(range(10_000))}}))
    with pytest.raises(
        InputError, match=r"manifest\.json: model is missing; parity=.*\.\.\.: Input should be"
    ) as raised:
        open_bundle(copied)
    assert len(str(raised.value)) < 600


def test_the_named_edge_cases_are_among_the_golden_vectors(bundle_path: Path) -> None:
    for name in signatures_of_task("next_item"):
        cases = json.loads((bundle_path / "golden" / f"{name}.json").read_text())["cases"]
        names = {case["name"] for case in cases}
        assert names >= {"empty", "one_item", "full", "longer_than_max_length", "all_the_same", "padding_left"}
        assert names >= {"padding_middle", "padding_right", "unknown_ids", "negative_ids", "duplicates", "users_3x12"}


def test_golden_candidates_hold_strangers_whose_score_is_null(bundle_path: Path) -> None:
    cases = json.loads((bundle_path / "golden" / "score_candidates.json").read_text())["cases"]
    scores = [score for case in cases for row in case["outputs"]["scores"] for score in row]
    assert None in scores
    assert {len(case["inputs"]["candidates"][0]) for case in cases} == {1, 7, 100}


def test_golden_pb_files_hold_what_the_json_says(variants: dict[str, Path]) -> None:
    for name, variant, output in (("top_k", "onnx_top_k", "item_ids"), ("score_candidates",) * 2 + ("scores",)):
        bundle_path = variants[variant]
        signature = open_bundle(bundle_path).manifest.signature(name)
        cases = json.loads((bundle_path / "golden" / f"{name}.json").read_text())["cases"]
        session = onnxruntime.InferenceSession(bundle_path / "onnx" / f"{name}.onnx")
        for number in (0, 5, len(cases) - 1):
            folder = bundle_path / "golden" / name / f"test_data_set_{number}"
            tensors = [onnx.load_tensor(folder / f"input_{place}.pb") for place in range(len(signature.inputs))]
            feeds = {one.name: onnx.numpy_helper.to_array(one) for one in tensors}
            feeds = {one: array.astype(object) if array.dtype.kind in "SU" else array for one, array in feeds.items()}
            found = onnx.numpy_helper.to_array(
                onnx.load_tensor(folder / f"output_{signature.output_names.index(output)}.pb")
            )
            assert np.allclose(session.run([output], feeds)[0], found, atol=1e-5)
            stored = np.array(cases[number]["outputs"][output], dtype=float)
            assert np.allclose(np.nan_to_num(stored, nan=-np.inf), found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"history": np.array([[1.5]])}, "history holds float64, not int64"),
        ({"history": np.array([1, 2])}, r"history has shape \[2\]"),
        ({"gender": np.array(["F", "M"], dtype=object)}, "gender has shape .2., where batch is 1"),
        ({"gender": np.array([1])}, "gender holds 1, not string"),
        ({"gender": [None]}, "gender holds None, not string .text is '' where nothing is known."),
        ({"gender": [float("nan")]}, "gender holds nan, not string"),
        ({"history": [[11, 18], [25]]}, "history has rows of different lengths: pad the shorter ones in front"),
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
    assert "top_k takes history int64 ['batch', 'length'], gender string ['batch']" in str(raised.value)


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


def test_a_backend_that_is_not_there_is_named(bundle_path: Path) -> None:
    with pytest.raises(InputError, match="format 'aotinductor' is not in the bundle; it holds onnx, torchscript, pt2"):
        open_bundle(bundle_path).session("aotinductor")
    with pytest.raises(InputError, match="backend 'tensorrt' is not known; known: eager, onnxruntime"):
        open_bundle(bundle_path).session("tensorrt")


def test_a_vocabulary_of_the_same_size_with_fewer_ids_is_refused(copied: Path) -> None:
    path = copied / "vocabulary.json"
    values = json.loads(path.read_text())
    values["items"]["ids"].pop()
    path.write_text(json.dumps(values, ensure_ascii=False).ljust(path.stat().st_size))
    with pytest.raises(InputError, match=r"vocabulary\.json holds .*39.*, manifest\.json states .*40"):
        open_bundle(copied)
