"""Random models are exported and asked random questions: every format answers as the model does.

pytest tests/reliability/properties/test_properties.py               # what there is to see without them
pytest tests/reliability/properties/test_properties.py -m slow       # 60, others each time; 300 with --times 5
pytest ... -m slow --hypothesis-seed=N                                               # those of a run that failed
"""

from __future__ import annotations

import gc
import itertools
import logging
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings

from bst.config import BSTConfig
from bst.run.folder import Run
from export import ExportSettings, TopK, export_bundle
from export.contract.manifest import Entry, FormatRecord, Needs
from export.contract.model_signatures import build_signatures
from export.contract.parity import LARGEST
from export.contract.signatures import Signature
from export.formats import FORMATS
from export.formats.onnx.graph import save_onnx
from export.formats.pt2_archive import save_pt2
from export.formats.torchscript_archive import save_torchscript
from export.proof.eager import answer
from export.proof.prove import prove
from export.serving.scorer import ServedModel, make_scorer
from export.shortlist.choice import choose_shortlist
from tests.reliability.properties.roads import Road, calls, roads, write_run

LOG = logging.getLogger(__name__)
PARTS = 10
# An example takes seconds, and shrinking one would take hundreds of them: what fails is shown as it was drawn.
HUNT = settings(
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


def walk_by_bundle(road: Road, folder: Path) -> None:
    """Export as a user does, which asks every file the edge cases; then ask what it was not exported with."""
    run = write_run(road, folder / "run")
    manifest = export_bundle(folder / "run", folder / "bundle", road.settings)
    ask(road, run, folder / "bundle", manifest.formats, manifest.signatures)


def walk_by_format(road: Road, folder: Path) -> None:
    """Write the formats alone, two of the signatures, of pt2 one, in a fifth of the time."""
    run = write_run(road, folder / "run")
    config, top_k = run.config.model, road.settings.top_k
    records = []

    def written(form: str, entries: dict[str, Entry], level: tuple[Signature, ...]) -> None:
        needs = Needs(versions={}, made_with={})
        records.append(
            FormatRecord(name=form, ids=level[0].ids, entries=entries, golden="", equal_scores="any order", needs=needs)
        )

    def served(ids: str, *, packed: bool = False) -> ServedModel:
        vocabularies = run.vocabularies if ids == "raw" else None
        return ServedModel(make_scorer(run.model, config, top_k, packed=packed), vocabularies, config).eval()

    level = build_signatures(config, run.vocabularies, top_k=top_k, ids=road.settings.ids)
    pairs = list(itertools.combinations(level, min(2, len(level))))
    pair = pairs[road.seed % len(pairs)]
    for form in ("onnx", "torchscript", "pt2"):
        (folder / form).mkdir()
    plan = None
    if road.settings.shortlist and config.scores_catalogue:
        plan = choose_shortlist(run.model, run.heldout, top_k.limit, exclude_history=top_k.exclude_history)
    save_onnx(
        served(road.settings.ids, packed=True).scorer,
        config,
        pair,
        run.vocabularies,
        folder / "onnx",
        top_k=top_k,
        opset=road.settings.opset,
        metadata={},
        shortlist=plan,
    )
    written("onnx", {one.name: Entry(path=f"onnx/{one.name}.onnx") for one in pair}, level)
    save_torchscript(served(road.settings.ids), pair, folder / "torchscript" / "model.pt", metadata={})
    written("torchscript", {one.name: Entry(path="torchscript/model.pt", function=one.name) for one in pair}, level)
    by_index = build_signatures(config, run.vocabularies, top_k=top_k, ids="index")
    one = by_index[road.seed % len(by_index)]
    save_pt2(served("index"), (one,), folder / "pt2" / "model.pt2", metadata={})
    written("pt2", {one.name: Entry(path="pt2/model.pt2", function=one.name)}, by_index)
    signatures = level if road.settings.ids == "index" else (*level, *by_index)
    ask(road, run, folder, tuple(records), signatures)


def ask(
    road: Road, run: Run, folder: Path, formats: tuple[FormatRecord, ...], signatures: tuple[Signature, ...]
) -> None:
    """Compare every signature of every format with the model, on random calls; and with itself, row by row, with more
    padding, and with candidates in another order."""
    asked = calls(road)
    config = run.config.model
    for answers in answer(run.model, config, run.vocabularies, road.settings, signatures, asked):
        for record in formats:
            if record.ids == answers.signature.ids and answers.signature.name in record.entries:
                session = FORMATS.find(record.name).open_in(folder, record, answers.signature)
                prove(record.name, answers, session, run.vocabularies, config, vary=range(2))


def walk(road: Road, how: Callable[[Road, Path], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        how(road, Path(folder))
    gc.collect()  # sessions are full of cycles


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_any_model_answers_alike_in_every_format(part: int, times: int, request: pytest.FixtureRequest) -> None:
    """In parts, so that each core has one; the log of one that fails has the seed."""
    gc.collect()
    gc.freeze()  # else each collection goes through all that pytest and torch hold: a third of the time
    start = request.config.getoption("--hypothesis-seed") or random.randrange(2**32)
    LOG.warning("--hypothesis-seed=%s", start)

    @seed(f"{start} {part}")
    @settings(HUNT, max_examples=60 * times // PARTS)
    @given(roads())
    def walk_any(road: Road) -> None:
        walk(road, walk_by_bundle if road.seed % 10 == 7 else walk_by_format)  # 0 is drawn more often

    walk_any()


@pytest.mark.bundle
def test_where_numbers_cancel_out_errors_are_relative_to_what_was_there_before(tmp_path: Path) -> None:
    config = BSTConfig(
        **{"num_items": 1, "dim": 4, "num_heads": 4, "num_blocks": 1, "ff_width": 1, "max_length": 1},
        **{"head_widths": (1,), "tied_output": False, "place_vectors": "sinusoidal"},
    )
    road = Road(config, ExportSettings(top_k=TopK(limit=1)), "dense", (), seed=0)
    run = write_run(road, tmp_path / "run")
    bias = run.model.head[0].bias

    def user_vectors() -> tuple[float, float]:
        """The largest number of a typical row, and what errors are relative to, at least."""
        signatures = build_signatures(config, run.vocabularies, top_k=road.settings.top_k, ids="raw")
        answers = list(answer(run.model, config, run.vocabularies, road.settings, signatures, calls(road)))[-1]
        assert answers.signature.name == "encode_user"
        outputs = [one.outputs for one in answers.golden]
        largest = np.concatenate([np.abs(one["user_vector"]).max(axis=1) for one in outputs])
        return float(np.median(largest)), min(float(one[LARGEST].min()) for one in outputs)

    with torch.no_grad():
        before, _ = user_vectors()
        bias -= before * (1 - 1e-3)
    after, scale = user_vectors()
    assert after < 0.1 * before
    assert scale == pytest.approx(10 * after)  # and no more than that
