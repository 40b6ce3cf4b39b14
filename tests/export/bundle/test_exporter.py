"""A run becomes a bundle whole or not at all; a refresh replaces one in a single step."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bst import CheckError, InputError
from export import ExportSettings, TopK, export_bundle, open_bundle, refresh_bundle, verify_bundle
from export.contract.manifest import OutputLayer
from export.contract.parity import TOLERANCE
from export.formats import FORMATS, Format, Order
from tests.conftest import FIVE, random_inputs

ONNX_ONLY = ExportSettings(top_k=TopK(limit=3), formats=("onnx",), signatures=("top_k",))


def test_the_record_of_parity_has_a_budget_and_invariances_for_every_format(bundle_path: Path) -> None:
    manifest = open_bundle(bundle_path).manifest
    assert len(manifest.parity) == 12
    for one in manifest.parity:
        assert 0 < one.eager_error_to_float64 < TOLERANCE
        assert max(one.max_error, one.error_to_float64, one.alone, one.more_padding, one.permuted or 0) <= TOLERANCE
        assert (one.permuted is not None) == (one.signature == "score_candidates")
        assert one.rows > 250
    assert any(one.max_error > 0 for one in manifest.parity)  # it was measured: no two kernels round alike everywhere


def _spoil(monkeypatch: pytest.MonkeyPatch, form: str, spoilt: Callable[[torch.nn.Module], object]) -> None:
    """Let the files of one format be written of a model to which `spoilt` was done, and then put it right again."""
    kind = type(FORMATS.find(form))
    original = kind.write

    def write(self: Format, order: Order) -> OutputLayer | None:
        state = {name: tensor.clone() for name, tensor in order.run.model.state_dict().items()}
        spoilt(order.run.model)
        layer = original(self, order)
        order.run.model.load_state_dict(state)
        return layer

    monkeypatch.setattr(kind, "write", write)


def _shaken(model: Any) -> None:
    weights = model.cells[0].ff_1.weight.data
    weights += 0.05 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "form", ["torchscript", *(pytest.param(one, marks=pytest.mark.slow) for one in ("onnx", "pt2"))]
)
@pytest.mark.bundle
def test_a_format_that_disagrees_is_named_with_the_first_block_and_leaves_nothing_behind(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    _spoil(monkeypatch, form, _shaken)
    settings = FIVE.model_copy(update={"formats": (form,), "signatures": ("all_scores",)})
    block = "pooling" if form == "onnx" else "cell 1"  # there, the last cell is computed for the pooled state alone
    with pytest.raises(CheckError, match=rf"{form}, all_scores, case '[a-z0-9_]+': row [0-9]+ is off by .*'{block}'"):
        export_bundle(run_path, tmp_path / "bundle", settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.bundle
def test_a_number_that_is_not_one_fails(run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _spoil(monkeypatch, "torchscript", lambda model: model.head[0].bias.data.fill_(float("nan")))
    with pytest.raises(CheckError, match=r"NaN or inf in row 0; they part at the block 'head', off by nan"):
        export_bundle(run_path, tmp_path / "bundle", ONNX_ONLY.model_copy(update={"formats": ("torchscript",)}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ONNX_ONLY.model_copy(update={"top_k": TopK(limit=41)}), "k=41 is not between 1 and the catalogue's 40 items"),
        (FIVE.model_copy(update={"formats": ("aotinductor",)}), "aotinductor needs a C\\+\\+ compiler"),
        (
            FIVE.model_copy(update={"formats": ("onnx", "coreml")}),
            "format 'coreml' is not known; known: onnx, torchscript, pt2, aotinductor",
        ),
        (
            FIVE.model_copy(update={"signatures": ("best",)}),
            "signature 'best' is not known; known: all_scores, top_k",
        ),
        (FIVE.model_copy(update={"opset": 12}), "opset 12 is not supported; known: 18, 20, 21, 23"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: ExportSettings, message: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no compiler there
    with pytest.raises(InputError, match=message):
        export_bundle(run_path, tmp_path / "bundle", settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"top_k": {"limit": 0}}, "greater than or equal to 1"),
        ({"formats": ()}, "at least 1 item"),
        ({"formats": ("onnx", "onnx")}, "formats name onnx twice"),
        ({"ids": "names"}, "'raw' or 'index'"),
    ],
)
def test_settings_that_do_not_exist_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExportSettings.model_validate(values)


def test_an_existing_folder_is_never_touched(run_path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(InputError, match="exists; give another --out"):
        export_bundle(run_path, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.fixture
def served(variants: dict[str, Path], tmp_path: Path) -> Path:
    """A bundle in use."""
    return Path(shutil.copytree(variants["script_top_k"], tmp_path / "bundle"))


def test_a_refresh_takes_weights_ids_and_a_larger_catalogue_into_the_old_settings(
    make_run: Callable[..., Path], served: Path
) -> None:
    before = open_bundle(served).manifest
    newer = make_run("newer", items=55)
    (served / ".git" / "refs").mkdir(parents=True)
    (served / ".git" / "refs" / "head").write_text("1")
    (served / "NOTES.txt").symlink_to("README.md")
    (served / "README.md").write_text("edited")
    with pytest.warns(UserWarning, match=r"not of the bundle|was edited") as said:
        refresh_bundle(newer, served)
    assert [str(one.message) for one in said] == [
        "not of the bundle, and kept: .git/, NOTES.txt",
        "README.md was edited since the last export: that text is kept as README.before.md",
    ]
    assert (served / ".git" / "refs" / "head").read_text() == "1"
    assert (served / "NOTES.txt").is_symlink()
    assert (served / "README.before.md").read_text() == "edited"
    assert (served / "README.md").read_text() != "edited"
    after = open_bundle(served).manifest
    assert (before.items.count, after.items.count) == (40, 55)
    assert after.settings == before.settings
    assert after.run_sha256 != before.run_sha256
    assert [one.signature for one in verify_bundle(served)] == ["top_k"]
    assert [path.name for path in served.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("variant", "backend"),
    [("script_top_k", "torchscript"), pytest.param("onnx_top_k", "onnxruntime", marks=pytest.mark.slow)],
)
def test_while_a_refresh_works_the_old_bundle_answers_and_is_never_missing(
    make_run: Callable[..., Path], variants: dict[str, Path], tmp_path: Path, variant: str, backend: str
) -> None:
    served = Path(shutil.copytree(variants[variant], tmp_path / "bundle"))
    newer = make_run("newer", items=55)
    seen, done = [], threading.Event()

    def watch() -> None:
        last = False
        while not last:
            last = done.is_set()
            seen.append(json.loads((served / "manifest.json").read_text())["items"]["count"])
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    session = open_bundle(served).session(backend)
    inputs = random_inputs(served, 2, 6, signature="top_k")
    expected = session(inputs)["item_ids"].tolist()
    refresh_bundle(newer, served)
    done.set()
    watcher.join()
    assert set(seen) == {40, 55}
    assert seen == sorted(seen)
    assert session(inputs)["item_ids"].tolist() == expected  # its files are mapped, though their names are gone


def test_a_refresh_that_fails_leaves_the_old_bundle_as_it_was(
    run_path: Path, served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in served.rglob("*") if path.is_file()}
    _spoil(monkeypatch, "torchscript", lambda model: model.head[0].weight.data.mul_(1.5))
    with pytest.raises(CheckError, match="they part at the block 'head'"):
        refresh_bundle(run_path, served)
    assert {path: path.read_bytes() for path in served.rglob("*") if path.is_file()} == before
    assert [path.name for path in served.parent.iterdir()] == ["bundle"]


def test_a_refresh_from_another_architecture_names_every_difference(
    make_run: Callable[..., Path], served: Path
) -> None:
    other = make_run("other", dim=32, context=("region",))
    with pytest.raises(InputError, match=r"dim is 32, in the bundle 16; context is .*; use --out"):
        refresh_bundle(other, served)


def test_a_refresh_that_would_change_what_padding_is_is_refused(
    make_run: Callable[..., Path], served: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("with_zero")
    vocabulary = json.loads((run / "vocabulary.json").read_text())
    vocabulary["items"]["ids"][0] = 0
    (run / "vocabulary.json").write_text(json.dumps(vocabulary))
    with pytest.raises(InputError, match="padding of item ids is -1, in the bundle 0; use --out"):
        refresh_bundle(run, served)


def test_a_disk_without_room_is_refused_before_anything_is_written(
    run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    with pytest.raises(InputError, match=r"the bundle needs about \d+ MB and .* has 1 MB; make room"):
        export_bundle(run_path, tmp_path / "bundle", ONNX_ONLY)
    assert list(tmp_path.iterdir()) == []


def test_a_refresh_of_what_is_no_bundle_is_refused(run_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a bundle"):
        refresh_bundle(run_path, tmp_path / "nowhere")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="file is not a bundle"):
        refresh_bundle(run_path, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
