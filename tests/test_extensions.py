"""A format, a signature and an opponent that are added from outside: no line of the packages is changed for them.

No `from __future__ import annotations`: TorchScript reads the annotations of the signature's method.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from torch import Tensor

from bench import BenchConfig, measure_bundle
from bench.contestants.backends import Open
from bench.contestants.peers import OPPONENTS, Opponent
from bst import InputError
from export import Bundle, ExportSettings, Session, export_bundle, open_bundle, verify_bundle
from export.contract.manifest import Entry, Needs
from export.contract.settings import ORT_DEFAULTS, SessionOptions
from export.contract.signatures import SIGNATURES, Signature, SignatureKind
from export.formats import FORMATS, Format, Order, Snippet
from export.sessions.session import TorchSession
from tests.bench.conftest import LIMITS, shorten
from tests.bench.planted import open_planted
from tests.conftest import Command, random_inputs, refused

pytestmark = pytest.mark.bundle


def best_score(self, user_vectors: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    return self.all_scores(user_vectors).topk(1)[0]


BEST_SCORE = SignatureKind(
    "best_score",
    lambda sizes: ("scores", 1),
    lambda top_k: "`best_score` is the score of the best item.",
    method=best_score,
)


class PlainWeights(Format):
    """The weights of the model a signature, read back into the network that they were written from."""

    name = "plain-weights"
    backend = "network"

    def __init__(self, template: Path) -> None:
        self.snippets = (Snippet("By hand", "text", template, "echo nothing"),)

    def entry(self, signature: str) -> Entry:
        return Entry(path=f"plain-weights/{signature}.safetensors")

    def write(self, order: Order) -> None:
        self.served = order.served()
        for signature in order.signatures:
            safetensors.torch.save_model(self.served.scorer.model, str(order.folder / f"{signature.name}.safetensors"))

    def needs(self, folder: Path, settings: ExportSettings) -> Needs:
        return Needs(versions={"safetensors": "1"}, made_with={}, remarks=("made up",))

    def open(
        self, path: Path, signature: Signature, *, threads: int | None = None, options: SessionOptions = ORT_DEFAULTS
    ) -> Session:
        safetensors.torch.load_model(self.served.scorer.model, path)
        return TorchSession(signature, self.served.method(signature))


@pytest.fixture
def extended(tmp_path: Path) -> Iterator[None]:
    template = tmp_path / "call.txt.jinja"
    template.write_text("ask {{ name }} of {{ inputs | length }} inputs\n")
    SIGNATURES.add(BEST_SCORE)
    FORMATS.add(PlainWeights(template))
    yield
    SIGNATURES.remove("best_score")
    FORMATS.remove("plain-weights")


@pytest.mark.parametrize("forms", [("onnx", "torchscript"), pytest.param(("pt2",), marks=pytest.mark.slow)])
def test_a_signature_and_a_format_are_exported_proven_verified_opened_and_described(
    extended: None, run_path: Path, tmp_path: Path, bst_command: Command, forms: tuple[str, ...]
) -> None:
    bundle = tmp_path / "bundle"
    export_bundle(run_path, bundle, ExportSettings(formats=(*forms, "plain-weights"), signatures=("best_score",)))
    found = {(one.format, one.signature) for one in verify_bundle(bundle)}
    assert found == {(form, "best_score") for form in (*forms, "plain-weights")}
    opened = open_bundle(bundle)
    inputs = random_inputs(bundle, 4, 6, signature="best_score")
    scores = opened.session("eager", "all_scores")(inputs)["scores"]
    for backend in ("eager", *(FORMATS.find(form).backend for form in forms), "network"):
        best = opened.session(backend, "best_score")(inputs)["scores"]
        assert np.allclose(best[:, 0], scores.max(axis=1), atol=1e-6), backend
    card = (bundle / "README.md").read_text()
    assert "`best_score` is the score of the best item." in card
    assert "By hand:\n\n```text\nask best_score of 3 inputs\n```" in card
    assert "* plain-weights: made up." in card
    assert json.loads((bundle / "manifest.json").read_text())["formats"][-1]["name"] == "plain-weights"
    SIGNATURES.remove("best_score")
    try:
        refused(bst_command("verify", bundle), "'best_score' is not known; known: all_scores")
    finally:
        SIGNATURES.add(BEST_SCORE)


def test_a_name_that_is_there_is_not_given_away() -> None:
    with pytest.raises(InputError, match="signature 'top_k' is there already; give another name"):
        SIGNATURES.add(SIGNATURES.find("top_k"))


def build_slow(bundle: Bundle, signature: str, folder: Path, source: Path | None) -> Open:
    assert list(folder.iterdir()) == []
    return partial(open_planted, slower=2.0)


def test_an_opponent_is_measured_beside_the_others(bundle_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    OPPONENTS.add(Opponent("slow-onnx", build_slow))
    try:
        config = BenchConfig(
            backends=("slow-onnx",),
            modes=("latency",),
            batch_sizes=(1,),
            launches=2,
            rounds=2,
            round_seconds=0.05,
            **LIMITS,
        )
        record = measure_bundle(bundle_path, config)
    finally:
        OPPONENTS.remove("slow-onnx")
    (row,) = record.latency
    assert (row.backend, row.peer, row.parity.failure) == ("slow-onnx", True, None)
    assert not record.unavailable
