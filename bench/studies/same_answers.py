"""A comparison of a bundle's `top_k` with the model's, for every held-out target of the data.

    python -m bench.studies.same_answers BUNDLE RUN INTERACTIONS [--users USERS] [--rows N]

The histories before the last and the last but one event of every user go through the bundle's ONNX file, by turns alone
and in batches, and through the eager model in float32. It prints the rows with the same ids in the same order, those
that differ by less than float32 can tell (`export.contract.parity`), the largest error of a score, and
NDCG@10 of both lists. Exits with 1 if more than one row in a thousand differs, or a score by more than the tolerance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from bst import Dataset, read_interactions
from bst.data.batches import Batch, Examples
from bst.errors import InputError
from bst.run.folder import Run, load_run
from export import Bundle, Session, open_bundle
from export.contract.inputs import Array
from export.contract.parity import LARGEST, RUNNER_UP, TOLERANCE, compare, runner_up
from export.proof.golden import Call
from export.serving.scorer import ServedModel, make_scorer
from export.sessions.session import eager_session

SIZES = (1, 32)  # in turns
ALLOWED = 1e-3  # share of rows


def compare_answers(bundle: Bundle, run: Run, examples: list[Examples], rows: int) -> dict[str, float]:
    """Call bundle and model for up to `rows` rows; return the results by name.

    Raises:
        InputError: the bundle is of another run, or its `top_k` leaves histories out, which this does not follow.
    """
    manifest = bundle.manifest
    if manifest.model != run.config.model or manifest.settings.top_k.exclude_history:
        raise InputError(
            f"{bundle.path} is not of this run, or leaves out what the history holds; export with --keep-history"
        )
    session = bundle.session("onnxruntime", "top_k", threads=1)
    served = ServedModel(make_scorer(run.model, manifest.model, manifest.settings.top_k), None, manifest.model)
    scorer = eager_session(served, bundle.signature_at("all_scores", "index"))
    counts = {"rows": 0.0, "same": 0.0, "equal_within_noise": 0.0, "largest_error": 0.0}
    gains: dict[str, list[float]] = {"bundle": [], "eager": []}
    for batch in _batches(examples, manifest.model.max_length, rows):
        case = Call(
            "held_out", batch.items.numpy(), batch.context.numpy(), np.ones((len(batch.items), 1)), 10, _arrays(batch)
        )
        expected, indices = _expected(scorer, case, run, session)
        actual = session(case.inputs(session.signature, bundle.vocabularies))
        name = session.signature.outputs[0].name
        for row in range(len(case.items)):
            mine, theirs = ({key: part[row : row + 1] for key, part in arrays.items()} for arrays in (actual, expected))
            comparison = compare(session.signature, theirs, mine)
            same = bool((mine[name] == theirs[name]).all())
            counts["rows"] += 1
            counts["same"] += same
            counts["equal_within_noise"] += comparison.failure is None and not same
            counts["largest_error"] = max(counts["largest_error"], comparison.error)
        target = batch.targets.numpy()
        target_ids = run.vocabularies.items.raw(target) if session.signature.ids == "raw" else target
        gains["bundle"] += _gains(actual[name], target_ids)
        gains["eager"] += _gains(indices, target)
    return {**counts, **{f"ndcg_10_{name}": float(np.mean(values)) for name, values in gains.items()}}


def _arrays(batch: Batch) -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in batch.beside.items()}


def _expected(scorer: Session, case: Call, run: Run, session: Session) -> tuple[dict[str, Array], Array]:
    """Return the answer of eager float32, as `top_k` of the bundle would give it, and its indices."""
    scores = scorer({spec.name: case.by_index[spec.name] for spec in scorer.signature.inputs})["scores"]
    best = np.argsort(-scores, axis=1, kind="stable")[:, : session.signature.outputs[0].shape[1]]
    indices = best + 1
    ids = run.vocabularies.items.raw(indices) if session.signature.ids == "raw" else indices
    expected = {session.signature.outputs[0].name: ids, "scores": np.take_along_axis(scores, best, axis=1)}
    expected[RUNNER_UP], expected[LARGEST] = runner_up(scores, best.shape[1]), np.abs(scores).max(axis=1)
    return expected, indices


def _gains(listed: Array, targets: Array) -> list[float]:
    """Return the NDCG@10 of each row for its one target."""
    hits = listed[:, :10] == np.asarray(targets)[:, None]
    return [float(gain) for gain in (hits / np.log2(2 + np.arange(hits.shape[1]))).sum(axis=1)]


def _batches(examples: list[Examples], max_length: int, rows: int) -> Iterator[Batch]:
    turn, left = 0, rows
    for some in examples:
        start = 0
        while start < len(some) and left > 0:
            size = min(SIZES[turn % len(SIZES)], left, len(some) - start)
            yield some.batch(slice(start, start + size), max_length)
            start, left, turn = start + size, left - size, turn + 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.studies.same_answers")
    for name in ("bundle", "run", "interactions"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--users", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run, bundle = load_run(arguments.run), open_bundle(arguments.bundle)
    data = run.config.data.model_copy(update={"text_ids": run.vocabularies.items.dtype == "string"})
    split = Dataset.build(read_interactions(arguments.interactions, data, arguments.users), run.vocabularies).split
    with torch.inference_mode():
        counts = compare_answers(bundle, run, [split.test, split.validation], arguments.rows)
    for name, value in counts.items():
        print(f"{name:<20} {value:.2e}" if name == "largest_error" else f"{name:<20} {value:,.6g}")
    differing = counts["rows"] - counts["same"] - counts["equal_within_noise"]
    if differing > ALLOWED * counts["rows"] or counts["largest_error"] > TOLERANCE:
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
