"""Answers of the model to every call: recorded as golden vectors, and kept for the proof."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bst.run.folder import Run
from bst.run.heldout import made_up
from export.contract.contents import GOLDEN
from export.contract.recordings import RECORDINGS
from export.contract.settings import ExportSettings
from export.contract.signatures import Ids, Signature
from export.proof.eager import answer
from export.proof.expected import Expected
from export.proof.golden import cases, worth_storing, write_golden


def golden_folder(ids: Ids, settings: ExportSettings) -> str:
    """Return the folder of the golden vectors of a level in a bundle."""
    return GOLDEN if ids == settings.ids else f"{GOLDEN}/{ids}"


def record_answers(stage: Path, run: Run, settings: ExportSettings, signatures: Sequence[Signature]) -> list[Expected]:
    """Run the model on every call of every signature, and write golden vectors as the settings say."""
    recording = RECORDINGS.find(settings.golden)
    users = run.heldout if recording.real_users or not recording.kept else made_up(run.config.model)
    calls = cases(run.config.model, users, settings.top_k)
    answers = []
    for expected in answer(run.model, run.config.model, run.vocabularies, settings, signatures, calls):
        stored = [golden for golden in expected.golden if worth_storing(golden, recording.numbers)]
        ids = expected.signature.ids
        onnx_layout = recording.onnx_layout and ids == settings.ids
        write_golden(stage / golden_folder(ids, settings), expected.signature, stored, onnx_layout=onnx_layout)
        answers.append(expected)
    return answers


def drop_unless_kept(stage: Path, settings: ExportSettings) -> None:
    """Remove golden vectors that were recorded for the proof alone."""
    if not RECORDINGS.find(settings.golden).kept:
        shutil.rmtree(stage / GOLDEN)
