"""The first block of the model whose values differ between two formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bst.run.folder import Run
from export.contract.inputs import Array
from export.contract.manifest import FormatRecord
from export.contract.parity import TOLERANCE
from export.contract.signatures import SCORE_CANDIDATES, Signature
from export.formats import FORMATS, Question
from export.proof.golden import Call
from export.serving.blocks import Blocks, blocks_of_model
from export.serving.guards import Guards


def first_difference(expected: Blocks, actual: Blocks, real: Array) -> str:
    """Name the first block whose values differ by more than the tolerance, with its error and that of the one before.

    `real`, bool `[batch, length]`, marks the slots that are compared; blocks of `actual` may be longer or shorter by
    padding on the left, or packed. Blocks that `actual` does not have are passed over.
    """
    before, compared, error = "the inputs", "", 0.0
    for name, expected_values in expected.items():
        if name not in actual:  # a last cell that is part of the pooling
            continue
        values, compared = actual[name], name
        if expected_values.ndim == 3 and not name.startswith("candidates"):
            expected_values, values = expected_values[real], _of_real_slots(values, real)
        if values.shape != expected_values.shape:
            shapes = f"{list(values.shape)}, not {list(expected_values.shape)}"
            return f"they part at the block {name!r}, whose values are {shapes}; {before} agree"
        scale = max(float(np.abs(expected_values).max(initial=0)), float(np.finfo(np.float32).tiny))
        error = float(np.abs(values.astype(np.float64) - expected_values).max(initial=0)) / scale
        if not error <= TOLERANCE:
            return f"they part at the block {name!r}, off by {error:.1e} of its largest value; {before} agree"
        before = f"all up to {name!r} (off by {error:.1e})"
    if not compared:
        return "no block of this format can be looked into"
    *_, last = expected
    if compared != last:
        return f"they part behind the block {compared!r} (off by {error:.1e}), where this format cannot be looked into"
    return f"all blocks agree up to {name!r} (off by {error:.1e}): they part at the output layer or the ids"


def _of_real_slots(values: Array, real: Array) -> Array:
    """Pick the rows of the real slots out of a block `[batch, any, D]`, whose newest slots are those of `real`, or
    packed, `[1 + slots, D]`.
    """
    if values.ndim != 3:
        return values[1:]
    slots = min(values.shape[1], real.shape[1])  # ONNX files cut off what is padding in the whole batch
    picked: Array = values[:, values.shape[1] - slots :][real[:, real.shape[1] - slots :]]
    return picked


def where_they_part(bundle: Path, record: FormatRecord, signature: Signature, case: Call, run: Run) -> str:
    """Compare eager and a format of `bundle` block by block on `case`."""
    if signature.kind.needs_history_once and not run.config.model.scores_catalogue:
        return f"its blocks are looked at in {SCORE_CANDIDATES}, where that differs too"
    scorer = Guards(run.config.model)
    inputs = {name: torch.from_numpy(array) for name, array in case.by_index.items()}
    if not run.config.model.scores_catalogue:
        groups = run.config.model.candidate_inputs
        parts = [scorer.guard_items(torch.from_numpy(case.candidates)).unsqueeze(-1)]
        parts += [scorer.guard_candidate_features(inputs.pop(group.name)) for group in groups]
        inputs["candidates"] = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0].squeeze(-1)
    for name in ("items", "context", "events"):
        if name in inputs:
            inputs[name] = getattr(scorer, f"guard_{name}")(inputs[name])
    inputs |= {name: scorer.guard_items(inputs[name]) for name in scorer.sequence_names}
    inputs = scorer.cut(inputs)
    question = Question(inputs, case.inputs(signature, run.vocabularies))
    blocks = FORMATS.find(record.name).look(bundle / record.entries[signature.name].path, signature, question)
    if isinstance(blocks, str):
        return blocks
    return first_difference(blocks_of_model(run.model, inputs), blocks, (inputs["items"] > 0).numpy())
