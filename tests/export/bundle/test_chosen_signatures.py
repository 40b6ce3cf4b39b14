"""A bundle of some of the signatures: what is left out is nowhere in it, and what is there is as in a whole one."""

import json
from pathlib import Path

import numpy as np
import pytest

from bst import InputError
from export import ExportSettings, export_bundle, open_bundle
from export.contract.rules import read_manifest
from export.contract.signatures import signatures_of_task
from export.formats.torchscript_archive import load_torchscript
from tests.conftest import FIVE, Command, random_inputs, refused

ONE = "score_candidates"


@pytest.fixture
def few(variants: dict[str, Path]) -> Path:
    return variants[ONE]


def test_files_entries_and_golden_vectors_are_of_the_chosen_signature_alone(few: Path) -> None:
    manifest = read_manifest(few)
    assert {one.name for one in manifest.signatures} == {ONE}
    assert all(set(record.entries) == {ONE} for record in manifest.formats)
    assert [path.name for path in (few / "onnx").glob("*.onnx")] == [f"{ONE}.onnx"]
    assert {path.stem for path in (few / "golden").rglob("*.json")} == {ONE}
    assert {one.signature for one in manifest.parity} == {ONE}
    assert not hasattr(load_torchscript(few / "torchscript" / "model.pt"), "top_k")


def test_it_verifies(bst_command: Command, few: Path) -> None:
    code, out, err = bst_command("verify", few)
    assert (code, err) == (0, "")
    assert [line.split()[:3] for line in out.splitlines() if line.startswith("ok ")] == [
        ["ok", form, ONE] for form in ("onnx", "torchscript")
    ]
    assert "note: torchscript: TorchScript is deprecated" in out


@pytest.mark.parametrize(
    "backend", ["onnxruntime", "torchscript", pytest.param("pt2", marks=pytest.mark.slow), "eager"]
)
def test_the_chosen_signature_answers_as_in_a_whole_bundle(
    variants: dict[str, Path], bundle_path: Path, backend: str
) -> None:
    few = variants["score_candidates_program" if backend == "pt2" else ONE]
    inputs = random_inputs(bundle_path, 3, 9, n=6, signature=ONE)
    whole, chosen = (open_bundle(path).session(backend, ONE)(inputs)["scores"] for path in (bundle_path, few))
    assert np.array_equal(whole, chosen)


@pytest.mark.parametrize("signature", signatures_of_task("next_item"))
def test_eager_has_every_signature_of_the_model_whatever_the_files_hold(
    few: Path, bundle_path: Path, signature: str
) -> None:
    inputs = random_inputs(bundle_path, 2, 5, signature=signature)
    whole, chosen = (open_bundle(path).session("eager", signature)(inputs) for path in (bundle_path, few))
    assert whole.keys() == chosen.keys()
    assert all(np.array_equal(whole[name], chosen[name]) for name in whole)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("encode_user", "torchscript"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (("encode_user", "pt2"), ("top_k", "torchscript"), ("top_k", "pt2"))
        ),
    ],
)
def test_eager_finds_all_weights_where_the_only_signature_needs_few_of_them(
    run_path: Path, bundle_path: Path, tmp_path: Path, name: str, form: str
) -> None:
    settings = FIVE.model_copy(update={"formats": (form,), "signatures": (name,)})
    export_bundle(run_path, tmp_path / "bundle", settings)
    inputs = random_inputs(bundle_path, 2, 5)
    whole, chosen = (
        open_bundle(path).session("eager", "all_scores")(inputs)["scores"]
        for path in (bundle_path, tmp_path / "bundle")
    )
    assert np.array_equal(whole, chosen)


def test_what_is_left_out_is_refused_and_the_rest_named(few: Path, bst_command: Command) -> None:
    bundle = open_bundle(few)
    with pytest.raises(InputError, match=r"signature 'top_k' is not in the bundle; known: score_candidates$"):
        bundle.session("onnxruntime", "top_k")
    with pytest.raises(InputError, match=r"signature 'best' is not known; known: all_scores, top_k"):
        bundle.session("eager", "best")
    with pytest.raises(InputError, match=r"does not say where its output layer lies: .* encode_user and all_scores"):
        bundle.output_layer()
    refused(bst_command("recommend", few), "signature 'top_k' is not in the bundle; known: score_candidates")


@pytest.mark.slow
def test_the_weights_of_a_user_vector_alone_do_not_hold_the_output_layer(
    run_path: Path, bundle_path: Path, few: Path, tmp_path: Path
) -> None:
    settings = FIVE.model_copy(update={"formats": ("onnx",), "signatures": ("encode_user",)})
    export_bundle(run_path, tmp_path / "bundle", settings)
    assert read_manifest(tmp_path / "bundle").output_layer is read_manifest(few).output_layer is None
    sizes = [(path / "onnx" / "weights.bin").stat().st_size for path in (tmp_path / "bundle", bundle_path)]
    assert sizes[0] + open_bundle(bundle_path).output_layer()[0].nbytes <= sizes[1]


@pytest.mark.bundle
def test_the_command_takes_a_list_and_the_manifest_and_the_files_hold_it_in_one_order(
    bst_command: Command, run_path: Path, tmp_path: Path
) -> None:
    chosen = ("--formats", "torchscript", "--signatures", "encode_user, top_k", "--k", 5)
    code, out, err = bst_command("export", run_path, "--out", tmp_path / "bundle", *chosen)
    assert (code, err) == (0, "")
    assert "all_scores" not in out
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["settings"]["signatures"] == [
        "top_k",
        "encode_user",
    ]
    module = load_torchscript(tmp_path / "bundle" / "torchscript" / "model.pt")
    assert [name for name in signatures_of_task("next_item") if hasattr(module, name)] == ["top_k", "encode_user"]
    code, out, err = bst_command("recommend", tmp_path / "bundle", "--backend", "torchscript", "--json")
    assert (code, err, len(json.loads(out)["item_ids"])) == (0, "", 5)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "at least 1 item"),
        (("top_k", "top_k"), "signatures name top_k twice; once is enough"),
    ],
)
def test_signatures_that_do_not_exist_are_refused(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExportSettings.model_validate({"signatures": names})
