"""Every format holds every signature, with axes that are dynamic in the file itself and answers equal to eager's."""

import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from bench.models.random_model import parse_model, write_random_run
from bst import InputError, load_run
from export import ExportSettings, TopK, compare, export_bundle, open_bundle
from export.bundle.folder import format_of_backend
from export.contract.parity import LARGEST, RUNNER_UP, runner_up
from export.contract.rules import read_manifest
from export.contract.settings import OPSETS
from export.contract.signatures import signatures_of_task
from export.formats.pt2_archive import check_program, load_pt2
from export.formats.torchscript_archive import load_torchscript
from export.proof.golden import Call
from export.sessions.session import Session
from tests.conftest import FIVE, exporting, held_by, random_inputs, settings_of

SIZES = [(batch, length) for batch in (1, 2, 3, 64, 257) for length in (1, 2, 12, 20)]  # 12 is max_length
FEW_SIZES = [(1, 1), (1, 20), (2, 12), (3, 2), (64, 20), (257, 1)]
BACKENDS = ("torchscript", "pt2", "onnxruntime")
NAMES = ("raw_ids", "text_ids", "numbers_k_input", "numbers_program", "length_one", "index", "index_no_context")
WHOLE = ("raw_ids", "text_ids", "numbers_whole", "length_one", "length_one_program", "index", "index_no_context")
CALLED = ("raw_ids", "text_ids", "index")  # by ids that are numbers, text and indices
HELD = [
    *((name, one, FEW_SIZES) for name in NAMES for one in held_by(name)),
    *(pytest.param(name, one, SIZES, marks=pytest.mark.slow) for name in WHOLE for one in held_by(name)),
]


Opened = Callable[[str, str, str], Session]
load_program = cache(load_pt2)


@pytest.fixture(scope="module")
def opened(variants: dict[str, Path]) -> Opened:
    """The session of a bundle in a backend for a signature, which all tests here share."""
    return cache(lambda variant, backend, signature: open_bundle(variants[variant]).session(backend, signature))


def numbers_in(backend: str) -> str:
    """The bundle with ids that are numbers, and an input `k`, that a backend opens."""
    return "numbers_program" if backend == "pt2" else "numbers_k_input"


def held(variant: str, backend: str) -> bool:
    return backend == "eager" or format_of_backend(backend).name in settings_of(variant).formats


@pytest.mark.parametrize(
    ("variant", "signature", "sizes"), HELD, ids=lambda one: f"{len(one)} sizes" if isinstance(one, list) else one
)
def test_every_format_answers_like_eager_at_sizes_it_was_not_exported_with(
    variants: dict[str, Path], opened: Opened, variant: str, signature: str, sizes: list[tuple[int, int]]
) -> None:
    bundle = open_bundle(variants[variant])
    stated = bundle.manifest.signature(signature)
    eager, eager_scores = opened(variant, "eager", signature), opened(variant, "eager", "all_scores")
    backends = [one for one in BACKENDS if held(variant, one)]
    sessions = [opened(variant, backend, signature) for backend in backends]
    for number, (batch, length) in enumerate(sizes):
        inputs = random_inputs(bundle.path, batch, length, n=(1, 2, 7, 100)[number % 4], signature=signature)
        expected = eager(inputs)
        history = {name: array for name, array in inputs.items() if name not in ("k", "candidates")}
        scores = eager_scores(history)["scores"]
        if signature in ("top_k", "score_candidates"):
            expected[LARGEST] = np.abs(scores).max(axis=1)
        if signature == "top_k" and not bundle.manifest.settings.top_k.exclude_history:
            expected[RUNNER_UP] = runner_up(scores, 5)
        for backend, session in zip(backends, sessions, strict=True):
            comparison = compare(stated, expected, session(inputs))
            assert comparison.failure is None, (backend, batch, length)
            assert comparison.error <= 1e-5


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("onnxruntime", "axis dimensions must match: Axis 0 has mismatched dimensions"),
        ("torchscript", r"candidates have \d rows for \d users; give a row each"),
    ],
)
@pytest.mark.parametrize(("users", "rows"), [(1, 2), (2, 1), (3, 2)])
def test_candidates_of_another_number_of_users_are_refused_by_the_files_themselves(
    variants: dict[str, Path], opened: Opened, backend: str, message: str, users: int, rows: int
) -> None:
    session = opened("raw_ids", backend, "score_candidates")
    inputs = random_inputs(variants["raw_ids"], users, 4, signature="score_candidates")
    others = random_inputs(variants["raw_ids"], rows, 4, signature="score_candidates")
    with pytest.raises(Exception, match=message):
        session.run(session.prepare({**inputs, "candidates": others["candidates"]}))


@pytest.mark.parametrize(("users", "rows"), [(1, 2), (2, 1), (3, 2)])
def test_candidates_of_another_number_of_users_are_refused_by_a_program_and_by_its_session(
    variants: dict[str, Path], opened: Opened, users: int, rows: int
) -> None:
    """Which leaves out torch's own look in each call, and so looks at the inputs before."""
    session = opened("raw_ids", "pt2", "score_candidates")
    inputs = random_inputs(variants["raw_ids"], users, 4, signature="score_candidates")
    others = random_inputs(variants["raw_ids"], rows, 4, signature="score_candidates")
    given = {**inputs, "candidates": others["candidates"]}
    program = load_program(variants["raw_ids"] / "pt2" / "model.pt2", "score_candidates").module()
    with pytest.raises(Exception, match=r"shape\[0\] to be equal to \d, but got \d"):
        program(*session.prepare(given))
    with pytest.raises(InputError, match=rf"candidates has shape \[{rows}, 5\], where batch is {users}"):
        session(given)


@pytest.mark.parametrize("backend", ["eager", *BACKENDS])
def test_a_bundle_scores_as_the_run_that_it_came_from(
    variants: dict[str, Path], opened: Opened, run_path: Path, backend: str
) -> None:
    items, context = np.array([[4, 9, 1, 40, 7]]), np.array([[1, 2]])
    with torch.inference_mode():
        expected = load_run(run_path).model(torch.from_numpy(items), torch.from_numpy(context))[:, 1:].numpy()
    bundle = open_bundle(variants["raw_ids"])
    call = Call("one", items, context, items, 1).inputs(bundle.manifest.signature("all_scores"), bundle.vocabularies)
    found = opened("raw_ids", backend, "all_scores")(call)
    assert np.allclose(found["scores"], expected, atol=1e-6)


@pytest.mark.parametrize("backend", ["eager", *BACKENDS])
def test_unknown_ids_negative_ids_and_padding_are_ignored_alike(
    variants: dict[str, Path], opened: Opened, backend: str
) -> None:
    strangers_of = dict(zip(CALLED, ([0, -5, 10**12], ["", "nobody", "-1"], [0, -1, 10**9]), strict=True))
    for variant, strangers in strangers_of.items():
        if not held(variant, backend):
            continue
        bundle = open_bundle(variants[variant])
        inputs = random_inputs(bundle.path, 1, 4)
        history, *others = bundle.manifest.signature("top_k").inputs
        mixed = {spec.name: inputs[spec.name][:, [3, 0, 2, 1, 2, 0, 3]] for spec in others if "length" in spec.shape}
        row = inputs[history.name][0]
        row = [strangers[0], row[0], strangers[1], row[1], row[2], strangers[2], row[3]]
        mixed[history.name] = np.array([row], dtype=inputs[history.name].dtype)
        session = opened(variant, backend, "all_scores")
        plain, with_strangers = session(inputs)["scores"], session({**inputs, **mixed})["scores"]
        assert np.allclose(plain, with_strangers, atol=1e-5), variant


@pytest.mark.parametrize("backend", ["eager", *BACKENDS])
def test_candidates_score_as_among_all_and_strangers_minus_infinity(
    variants: dict[str, Path], opened: Opened, backend: str
) -> None:
    for variant in (one for one in CALLED if held(one, backend)):
        bundle = open_bundle(variants[variant])
        scores = opened(variant, backend, "all_scores")(random_inputs(bundle.path, 2, 6))["scores"]
        inputs = random_inputs(bundle.path, 2, 6, signature="score_candidates")
        places = np.array([[3, 0, 40, 3, 41], [1, -1, 2, 10**9, 39]])
        known = (places > 0) & (places <= 40)
        candidates = places
        if bundle.manifest.ids == "raw":
            candidates = bundle.vocabularies.items.raw(np.where(known, places, 0))
        found = opened(variant, backend, "score_candidates")({**inputs, "candidates": candidates})["scores"]
        expected = np.where(known, np.take_along_axis(scores, np.where(known, places, 1) - 1, axis=1), -np.inf)
        assert np.array_equal(np.isneginf(found), ~known)
        assert np.allclose(found[known], expected[known], atol=1e-5)


@pytest.mark.parametrize("backend", ["eager", *BACKENDS])
def test_a_user_vector_times_an_output_row_plus_bias_is_the_score(
    variants: dict[str, Path], opened: Opened, backend: str
) -> None:
    for variant in ("raw_ids", "numbers_k_input"):  # an output layer of its own, and a tied one
        if not held(variant, backend):
            continue
        bundle = open_bundle(variants[variant])
        inputs = random_inputs(bundle.path, 3, 9)
        weights, biases = bundle.output_layer()
        assert weights.shape == (40, bundle.manifest.signature("encode_user").outputs[0].shape[1])
        vectors = opened(variant, backend, "encode_user")(inputs)["user_vector"]
        scores = opened(variant, backend, "all_scores")(inputs)["scores"]
        assert np.allclose(vectors @ weights.T + biases, scores, atol=1e-5)


@pytest.mark.parametrize("backend", ["eager", *BACKENDS])
def test_excluding_the_history_leaves_out_all_of_it_and_fills_with_padding(
    variants: dict[str, Path], opened: Opened, backend: str
) -> None:
    variant = numbers_in(backend)
    ids = open_bundle(variants[variant]).vocabularies.items.ids.to_list()
    session = opened(variant, backend, "top_k")
    others = random_inputs(variants[variant], 1, 36, signature="top_k")
    few = session({**others, "history": np.array([ids[:35] + ids[:1]]), "k": np.array([8])})
    assert set(few["item_ids"][0][:5].tolist()) == set(ids[35:])  # 35 of 40 gone, though only 12 slots are read
    assert few["item_ids"][0][5:].tolist() == [0, 0, 0]
    assert np.isneginf(few["scores"][0][5:]).all()
    assert np.isfinite(few["scores"][0][:5]).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_k_may_be_asked_for_up_to_the_limit(variants: dict[str, Path], opened: Opened, backend: str) -> None:
    session = opened(numbers_in(backend), backend, "top_k")
    inputs = random_inputs(variants[numbers_in(backend)], 3, 6, signature="top_k")
    whole = session({**inputs, "k": np.array([8])})
    for k in (1, 2, 7):
        found = session({**inputs, "k": np.array([k])})
        assert found["item_ids"].tolist() == whole["item_ids"][:, :k].tolist()
    for k in (0, 9, -1):
        with pytest.raises(InputError, match=f"k is {k}, not between 1 and 8"):
            session({**inputs, "k": np.array([k])})


def test_a_k_out_of_range_does_not_break_the_files_themselves(variants: dict[str, Path]) -> None:
    path = variants["numbers_k_input"]
    inputs = random_inputs(path, 2, 3, signature="top_k")
    session = onnxruntime.InferenceSession(path / "onnx" / "top_k.onnx")
    module = load_torchscript(path / "torchscript" / "model.pt")
    for k, columns in ((0, 1), (-3, 1), (99, 8)):
        feeds = {**inputs, "k": np.array([k])}
        assert session.run(None, feeds)[0].shape == (2, columns)
        assert module.top_k(*(torch.from_numpy(array) for array in feeds.values()))[0].shape == (2, columns)


@pytest.mark.parametrize("variant", ["raw_ids", "numbers_k_input", "index"])
def test_the_onnx_file_itself_names_its_dynamic_axes(variants: dict[str, Path], variant: str) -> None:
    manifest = open_bundle(variants[variant]).manifest
    for signature in manifest.signatures_of(manifest.format("onnx")):
        session = onnxruntime.InferenceSession(variants[variant] / "onnx" / f"{signature.name}.onnx")
        found = {value.name: tuple(value.shape) for value in (*session.get_inputs(), *session.get_outputs())}
        assert found == {spec.name: spec.shape for spec in (*signature.inputs, *signature.outputs)}
        assert found[signature.inputs[0].name] == ("batch", "length")


@pytest.mark.parametrize("variant", ["raw_ids", "numbers_program"])  # at index level, and with the ids in the program
def test_the_program_itself_has_dynamic_axes_from_one_up(variants: dict[str, Path], variant: str) -> None:
    manifest = open_bundle(variants[variant]).manifest
    for signature in manifest.signatures_of(manifest.format("pt2")):
        program = load_program(variants[variant] / "pt2" / "model.pt2", signature.name)
        check_program(program, signature)
        fixed = signature.model_copy(
            update={"inputs": (signature.inputs[0].model_copy(update={"shape": (3, 5)}), *signature.inputs[1:])}
        )
        with pytest.raises(Exception, match=r"axis 0 of (history|items) is s\d+, not 3"):
            check_program(program, fixed)


def test_text_ids_leave_pt2_at_index_level_and_the_manifest_says_so(variants: dict[str, Path]) -> None:
    levels = {
        variant: {record.name: (record.ids, record.golden) for record in read_manifest(variants[variant]).formats}
        for variant in ("raw_ids", "numbers_program")
    }
    assert levels["raw_ids"]["pt2"] == ("index", "golden/index")  # the context is of text
    assert levels["raw_ids"]["onnx"] == levels["raw_ids"]["torchscript"] == ("raw", "golden")
    assert levels["numbers_program"]["pt2"] == ("raw", "golden")


@pytest.mark.bundle
def test_constants_of_the_same_bytes_and_different_types_stay_apart_in_a_program(tmp_path: Path) -> None:
    """The means of the numbers are eight bytes of zeros, and so is the first row of the times."""
    write_random_run(
        tmp_path / "run",
        parse_model(["num_items=9", "dim=4", "num_heads=1", "head_widths=[4]", "event_times=to_next", "numbers=a,b"]),
    )
    export_bundle(tmp_path / "run", tmp_path / "bundle", exporting(formats=("pt2",), signatures=("all_scores",)))


def test_all_onnx_signatures_share_one_weight_file(bundle_path: Path) -> None:
    weights = (bundle_path / "onnx" / "weights.bin").stat().st_size
    parameters = sum(tensor.numel() for tensor in load_file(bundle_path / "model.safetensors").values())
    assert weights < 4 * parameters + 40 * 4096  # each large tensor once, and the gaps between pages
    for path in (bundle_path / "onnx").glob("*.onnx"):
        graph = onnx.load(path, load_external_data=False)
        places = {
            entry.value for one in graph.graph.initializer for entry in one.external_data if entry.key == "location"
        }
        assert places == {"weights.bin"}
        used = {name for node in graph.graph.node for name in node.input}
        assert {one.name for one in graph.graph.initializer} <= used  # else ONNX Runtime warns at every load
        assert {opset.domain for opset in graph.opset_import} <= {"", "ai.onnx.ml"}  # no operators of one runtime alone


def test_the_programs_share_one_set_of_weights(bundle_path: Path) -> None:
    with zipfile.ZipFile(bundle_path / "pt2" / "model.pt2") as archive:
        infos = [info for info in archive.infolist() if "/data/weights/weight_" in info.filename]
        hashes = [archive.read(info.filename) for info in infos]
    assert len(set(hashes)) == len(hashes)
    parameters = sum(tensor.numel() for tensor in load_run_parameters(bundle_path))
    assert sum(info.file_size for info in infos) <= 4 * parameters + 4096


def load_run_parameters(bundle: Path) -> list[torch.Tensor]:
    return list(load_program(bundle / "pt2" / "model.pt2", "top_k").state_dict.values())


def test_what_is_exported_without_asking_is_of_a_supported_opset(bundle_path: Path) -> None:
    assert {18, 20, 23, FIVE.opset} == set(OPSETS)  # the others are exported below
    assert open_bundle(bundle_path).manifest.format("onnx").needs.versions["ai.onnx"] == str(FIVE.opset)


@pytest.mark.slow
@pytest.mark.parametrize("opset", [18, 20, 23])
def test_every_supported_opset_exports(run_path: Path, bundle_path: Path, tmp_path: Path, opset: int) -> None:
    named: tuple[str, ...] = ("top_k", "score_candidates")
    settings = ExportSettings(top_k=TopK(limit=3), opset=opset, formats=("onnx",), signatures=named)
    manifest = export_bundle(run_path, tmp_path / "bundle", settings)
    for name in named:
        model = onnx.load(tmp_path / "bundle" / "onnx" / f"{name}.onnx", load_external_data=False)
        assert {entry.version for entry in model.opset_import if entry.domain == ""} == {opset}
    assert manifest.format("onnx").needs.versions["ai.onnx"] == str(opset)
    for name in named:
        here, there = (open_bundle(path).session("onnxruntime", name) for path in (tmp_path / "bundle", bundle_path))
        for batch, length in ((2, 2), (257, 20)):
            inputs = random_inputs(bundle_path, batch, length, n=9, signature=name)
            found, wanted = here(inputs)["scores"], there(inputs)["scores"]
            assert np.allclose(found, wanted[:, : found.shape[1]], atol=1e-6)  # k is 3, and 5


def test_torchscript_holds_no_device(bundle_path: Path) -> None:
    with zipfile.ZipFile(bundle_path / "torchscript" / "model.pt") as archive:
        code = "".join(archive.read(name).decode() for name in archive.namelist() if name.endswith(".py"))
    assert "score_candidates" in code
    assert 'torch.device("' not in code


def test_every_file_says_what_it_is_without_the_manifest(bundle_path: Path) -> None:
    manifest = json.loads((bundle_path / "manifest.json").read_text())
    model = onnx.load(bundle_path / "onnx" / "top_k.onnx", load_external_data=False)
    inside = {entry.key: entry.value for entry in model.metadata_props}
    (name,) = (one for one in inside if one.startswith("bst.signature."))
    assert json.loads(inside[name]) in manifest["signatures"]
    archives = {}
    for name, prefix in (("torchscript/model.pt", "extra"), ("pt2/model.pt2", "extra")):
        with zipfile.ZipFile(bundle_path / name) as archive:
            found = {
                Path(one).name: archive.read(one).decode() for one in archive.namelist() if f"/{prefix}/bst." in one
            }
        archives[name] = found
    for told in (inside, *archives.values()):
        assert json.loads(told["bst.model"]) == manifest["model"]
        assert json.loads(told["bst.items"]) == manifest["items"]
        assert json.loads(told["bst.run_sha256"]) == manifest["run_sha256"]


def test_no_file_holds_a_path_of_the_machine_that_exported(bundle_path: Path) -> None:
    here = str(Path(__file__).parents[3]).encode()
    for path in (*bundle_path.glob("onnx/*"), bundle_path / "manifest.json"):
        assert here not in path.read_bytes()
    with zipfile.ZipFile(bundle_path / "pt2" / "model.pt2") as archive:
        assert not any(here in archive.read(name) for name in archive.namelist())


@pytest.mark.slow
def test_aotinductor_answers_like_eager_and_verifies(make_run: Callable[..., Path], tmp_path: Path) -> None:
    asked = TopK(limit=8, k_is_input=True, exclude_history=True)
    settings = ExportSettings(top_k=asked, formats=("pt2", "aotinductor"))
    manifest = export_bundle(make_run("numbers", context=("region",)), tmp_path / "bundle", settings)
    record = manifest.format("aotinductor")
    assert record.needs.machine == "x86_64"
    assert {"avx2", "fma"} <= set(record.needs.cpu_flags)
    bundle = open_bundle(tmp_path / "bundle")
    for signature in signatures_of_task("next_item"):
        eager, compiled = bundle.session("eager", signature), bundle.session("aotinductor", signature)
        for number, (batch, length) in enumerate(SIZES):
            inputs = random_inputs(bundle.path, batch, length, n=(1, 2, 7, 100)[number % 4], signature=signature)
            want, got = eager(inputs), compiled(inputs)
            name = manifest.signature(signature).output_names[-1]
            assert np.allclose(want[name], got[name], atol=1e-5)
            if signature == "top_k":
                assert np.array_equal(want["item_ids"], got["item_ids"])
