"""The library's own model answers what a bundle that was imported from it answers, from the same call."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench import BenchConfig, measure_bundle
from bench.contestants import rechub
from bench.contestants.peers import build_peers, choose_peers
from bench.harness.cases import draw_inputs
from bench.record.record import Case
from bst import load_run
from bst.errors import InputError
from bst.imports import import_torch_rechub
from export import ExportSettings, compare, export_bundle, open_bundle
from tests.bench.modes.test_measure import SHORT
from tests.bst.imports.fuxi_folder import PAIRS, write_folder
from tests.bst.imports.libraries import Dense, Rechub, RowDice, Sparse
from tests.bst.imports.test_reference_cases import RANKERS
from tests.bst.imports.test_torch_rechub import LENGTH, MODELS, SIDES, make
from tests.conftest import OnDemand

NAMES = ("torch-rechub", "torch-rechub-onnx", "fuxictr")
ACTIVATIONS: dict[str, Any] = {
    **{"relu": nn.ReLU, "leakyrelu": nn.LeakyReLU, "prelu": nn.PReLU, "dice": RowDice, "sigmoid": nn.Sigmoid},
    "softmax": lambda: nn.Softmax(dim=1),
}
ROWS = 12  # of a call of three users with four candidates each
SCORING = ExportSettings(formats=("onnx",), signatures=("score_candidates",))


class Library(Rechub):
    """The arithmetic of the library behind the arguments of its class."""

    def __init__(self, features: Any, history_features: Any, target_features: Any, **settings: Any) -> None:
        head = settings["mlp_params"]
        changes = {"widths": tuple(head["dims"]), "activation": ACTIVATIONS[head["activation"]]}
        changes |= {"heads": settings["nhead"], "blocks": settings["num_layers"], "positions": settings["max_seq_len"]}
        super().__init__(history_features, target_features, features, **changes)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        return super().forward(x).sigmoid()


class Exporter:
    """The library's exporter: a file whose inputs have the names of the features, here of `ROWS` rows."""

    def __init__(self, model: Library) -> None:
        self.model = model

    def export(self, path: str, *, dynamic_batch: bool) -> None:
        features = [*self.model.history_features, *self.model.target_features, *self.model.features]
        shapes = {feature.name: (ROWS, LENGTH) for feature in self.model.history_features}
        numbers = [feature.name for feature in features if isinstance(feature, Dense)]
        example = {
            feature.name: torch.ones((ROWS, 1))
            if feature.name in numbers
            else torch.ones(shapes.get(feature.name, (ROWS,))).long()
            for feature in features
        }
        torch.onnx.export(
            self.model, (example, {}), path, input_names=[*example], output_names=["output"], dynamo=False
        )


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package `torch_rechub` that stands in for the real one."""
    parts: dict[str, dict[str, Any]] = {
        "": {},
        ".basic.features": {
            "SparseFeature": Sparse,
            "DenseFeature": Dense,
            "SequenceFeature": lambda pooling, **values: Sparse(**values),
        },
        ".models.ranking": {"BST": Library},
        ".utils.onnx_export": {"ONNXExporter": Exporter},
    }
    for name, members in parts.items():
        module = ModuleType(rechub.PACKAGE + name)
        module.__spec__ = ModuleSpec(module.__name__, None)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize(("name", "padding"), SIDES)
def test_the_rows_of_the_library_are_those_of_the_call(name: str, padding: str, tmp_path: Path, library: None) -> None:
    make(name, tmp_path / "dir", padding)
    import_torch_rechub(tmp_path / "dir", tmp_path / "run")
    run = load_run(tmp_path / "run")
    config, rng = run.config.model, np.random.default_rng(0)
    bundle: Any = SimpleNamespace(vocabularies=run.vocabularies, manifest=SimpleNamespace(model=config))
    items = rng.integers(0, config.num_items + 1, (6, config.max_length))  # also with nothing between events
    items[:3, :4] = 0
    inputs = {"items": items, "candidates": rng.integers(1, config.num_items + 1, (6, 3))}
    shapes = {"events": items.shape, "candidate_features": (6, 3), "context": (6,)}
    for group in (*config.inputs, *config.candidate_inputs):
        if group.holds == "categories":
            columns = [rng.integers(0, count + 1, shapes[group.name]) for count in group.counts(config)]
            inputs[group.name] = np.stack(columns, axis=-1)
    if config.numbers:
        inputs["numbers"] = np.where(rng.random((6, len(config.numbers))) < 0.3, np.nan, 1.5).astype(np.float32)
    original = rechub.Original.read(tmp_path / "dir", bundle)
    rows = rechub.RowsOfLibrary(original, bundle).of(inputs)
    with torch.inference_mode():
        probabilities, scores = rechub.WithScores(original.model())({k: torch.from_numpy(v) for k, v in rows.items()})
        tensors = {group: torch.from_numpy(values) for group, values in inputs.items()}
        context = tensors.pop("context", torch.zeros(6, 0, dtype=torch.int64))
        candidates = tensors.pop("candidates")
        if "candidate_features" in tensors:
            candidates = torch.cat([candidates[..., None], tensors.pop("candidate_features")], dim=-1)
        expected = run.model(tensors.pop("items"), context, candidates, **tensors)
    assert (scores.view(6, 3) - expected).abs().max() <= 5e-6 * max(1, expected.abs().max())
    assert torch.equal(probabilities, scores.sigmoid().view(-1))


@pytest.mark.bundle
@pytest.mark.filterwarnings("ignore")  # of the older exporter, which is quicker
def test_the_class_and_its_export_are_opponents_with_the_answers_of_the_bundle(tmp_path: Path, library: None) -> None:
    make("numbers between features", tmp_path / "dir")
    import_torch_rechub(tmp_path / "dir", tmp_path / "run")
    export_bundle(tmp_path / "run", tmp_path / "bundle", SCORING)
    bundle = open_bundle(tmp_path / "bundle")
    names = choose_peers(bundle, BenchConfig(peers=True), tmp_path / "dir")
    assert names[-2:] == NAMES[:2]
    peers, missing = build_peers(bundle, "score_candidates", tmp_path, NAMES[:2], imported_from=tmp_path / "dir")
    assert (tuple(peers), missing) == (NAMES[:2], {})
    case = Case(num_items=bundle.manifest.items.count, threads=1, batch_size=3, length=0, candidates=4)
    spec = bundle.manifest.signature("score_candidates")
    call = draw_inputs(bundle, "score_candidates", case)[0]
    expected = bundle.session("eager", "score_candidates")(call)
    for peer in peers.values():
        assert peer.peer
        assert peer.exact
        assert compare(spec, expected, peer.open(bundle, "score_candidates", 1)(call)).failure is None, peer.name
    make("item alone, numbers alone", tmp_path / "other")
    _, missing = build_peers(
        bundle, "score_candidates", tmp_path / "other", NAMES[:1], imported_from=tmp_path / "other"
    )
    assert missing["torch-rechub"].startswith("cannot be built: ")
    assert missing["torch-rechub"].endswith("other holds another model than the one that the bundle was imported from")


def test_each_opponent_that_a_library_lacks_is_a_line(
    variants: OnDemand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(variants["imported"])

    def lines(folder: Path | None = None) -> dict[str, str]:
        names = [name for name in choose_peers(bundle, BenchConfig(peers=True), folder) if name in NAMES]
        return build_peers(bundle, "score_candidates", tmp_path, names, imported_from=folder)[1]

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    make("dice", tmp_path / "rechub")
    write_folder(tmp_path / "fuxictr", PAIRS)
    missing = "torch-rechub is not installed; pip install torch-rechub"
    never = "its class is in FuxiCTR's repository, not in its package"
    assert lines() == {"torch-rechub": missing, "torch-rechub-onnx": missing, "fuxictr": never}
    assert lines(tmp_path / "rechub") == {"torch-rechub": missing, "torch-rechub-onnx": missing}
    assert lines(tmp_path / "fuxictr") == {"fuxictr": never}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: ModuleSpec(name, None))
    unnamed = "give --imported-from DIR, the folder that `bst import torch-rechub` read"
    assert lines() == {"torch-rechub": unnamed, "torch-rechub-onnx": unnamed, "fuxictr": never}


def test_the_folder_of_an_import_is_for_its_opponents_alone(variants: OnDemand, tmp_path: Path) -> None:
    make("dice", tmp_path)
    config = BenchConfig(backends=("onnxruntime",))
    with pytest.raises(InputError, match=r"is for the opponents torch-rechub, torch-rechub-onnx; give --peers too"):
        measure_bundle(variants["imported"], config, imported_from=tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec(rechub.PACKAGE), reason="torch-rechub is not installed")
@pytest.mark.parametrize("case", sorted((RANKERS / "torch-rechub").glob("case*")), ids=lambda case: case.name)
def test_torch_rechub_itself_is_measured_and_its_answers_are_those_of_the_bundle(case: Path, tmp_path: Path) -> None:
    import_torch_rechub(case, tmp_path / "run")
    export_bundle(tmp_path / "run", tmp_path / "bundle", SCORING)
    asked = {"backends": ("onnxruntime", *NAMES[:2]), "signature": "score_candidates", "candidates": (20,)}
    record = measure_bundle(tmp_path / "bundle", SHORT.model_copy(update=asked), imported_from=case)
    assert not record.unavailable
    assert [row.backend for row in record.latency] == ["onnxruntime", *NAMES[:2]]
    assert all(row.parity.failure is None for row in record.latency)


def test_every_form_of_the_model_is_asked_here() -> None:
    assert {name for name, _ in SIDES} == set(MODELS)
