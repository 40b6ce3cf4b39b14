"""The proof: every format against eager float32 and float64, and against itself under changes that must not matter.

Eager answers all cases first, so that the model can be freed before the formats are loaded one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bst.config import BSTConfig
from bst.data.vocabulary import Vocabularies
from bst.errors import CheckError
from bst.model import BST, ClickBST
from export.contract.inputs import Array, Arrays
from export.contract.manifest import ParityRecord
from export.contract.parity import LARGEST, RUNNER_UP, TOLERANCE, Comparison, compare, runner_up
from export.contract.settings import ExportSettings
from export.contract.signatures import Signature, build_signatures
from export.proof.golden import Call, GoldenCall
from export.proof.oracle import in_float64
from export.serving.scorer import ServedModel, make_scorer
from export.sessions.session import Session, eager_session

MORE_PADDING = 3
EAGER_ERRORS = 4  # a format may differ from eager float32 by so many times the error of that against float64,
MOST_CANCELLED = 10  # but no more than so many times the tolerance
EXACT = 1e-10  # two ways of one sum in float64,
DEFINED_ROWS, DEFINED_CANDIDATES = 8, 7  # for so much of each call: a sequence for each candidate takes memory


class PartedError(CheckError):
    """A difference of a format: its case and signature, so that the block can be searched where it begins."""

    def __init__(self, message: str, signature: Signature, case: Call) -> None:
        super().__init__(message)
        self.signature, self.case = signature, case


@dataclass(frozen=True)
class Expected:
    """The answers of the model to every case of one signature: in float32 (golden), and in float64 the last output."""

    signature: Signature
    cases: Sequence[Call]
    golden: Sequence[GoldenCall]
    truth: Sequence[Array]


def answer(
    model: BST,
    config: BSTConfig,
    vocabularies: Vocabularies,
    settings: ExportSettings,
    signatures: Sequence[Signature],
    cases: Sequence[Call],
) -> Iterator[Expected]:
    """Run eager over every case of every signature, once in float32 and once in float64."""
    exact_model = in_float64(model)

    def answered(signature: Signature) -> tuple[list[Arrays], list[Arrays], list[Array]]:
        tables = vocabularies if signature.ids == "raw" else None
        here, exact = (
            eager_session(ServedModel(make_scorer(network, config, settings.top_k), tables, config), signature)
            for network in (model, exact_model)
        )
        inputs = [case.inputs(signature, vocabularies) for case in cases]
        return inputs, [here(call) for call in inputs], [exact(call)[signature.output_names[-1]] for call in inputs]

    def by_definition(signature: Signature) -> list[Array]:
        """Answer the beginning of each call by a click model with a sequence for each candidate, in float64."""
        assert isinstance(exact_model, ClickBST)
        tables = vocabularies if signature.ids == "raw" else None
        served = ServedModel(make_scorer(exact_model.tiled(), config, settings.top_k), tables, config)
        session = eager_session(served, signature)
        beginnings = [case.rows(slice(DEFINED_ROWS)).of_candidates(slice(DEFINED_CANDIDATES)) for case in cases]
        return [session(call.inputs(signature, vocabularies))[signature.output_names[-1]] for call in beginnings]

    if not config.scores_catalogue:
        for signature in signatures:
            yield _of_candidates(signature, cases, *answered(signature), by_definition(signature))
        return
    # From the scores of all items: of each case the best score that `top_k` does not list, and the scale.
    (scored,) = build_signatures(config, vocabularies, ("all_scores",), top_k=settings.top_k, ids=signatures[0].ids)
    of_all = answered(scored)
    below = [_below(outputs["scores"], case, settings) for outputs, case in zip(of_all[1], cases, strict=True)]
    largest = scales([outputs["scores"] for outputs in of_all[1]], of_all[2])
    for signature in signatures:
        inputs, outputs, truth = of_all if signature == scored else answered(signature)
        numbers = signature.output_names[-1]
        of_catalogue = signature.kind.of_catalogue
        largest_here = largest if of_catalogue else scales([arrays[numbers] for arrays in outputs], truth)
        for place, arrays in enumerate(outputs):
            arrays[LARGEST] = largest_here[place]
            if signature.kind.picks:
                arrays[RUNNER_UP] = below[place]
        golden = [GoldenCall(case.name, *pair) for case, *pair in zip(cases, inputs, outputs, strict=True)]
        yield Expected(signature, cases, golden, truth)


def _of_candidates(
    signature: Signature,
    cases: Sequence[Call],
    inputs: Sequence[Arrays],
    outputs: Sequence[Arrays],
    truth: Sequence[Array],
    definition: Sequence[Array],
) -> Expected:
    """Put the answers of a click model together, with their scales: there is no catalogue that has one.

    A row may hold a single candidate whose logit is near 0, so that no scale is below that of the usual row of the most
    candidates, as that of a next-item model is the largest score of a catalogue.

    Args:
        truth: in float64, as the model computes; `definition` of some rows and candidates of each call, with a sequence
            for each candidate.

    Raises:
        CheckError: the two differ, so that the history may not be computed once.
    """
    numbers = signature.output_names[-1]
    finite = [np.where(np.isfinite(arrays[numbers]), arrays[numbers], 0) for arrays in outputs]
    exact = [np.where(np.isfinite(values), values, 0) for values in truth]
    row_scales = scales(finite, exact)
    most = max(values.shape[1] for values in finite)
    of_most = [scale for values, scale in zip(finite, row_scales, strict=True) if values.shape[1] == most]
    usual = np.float32(np.median(np.concatenate(of_most)))
    for arrays, of_call in zip(outputs, row_scales, strict=True):
        arrays[LARGEST] = np.maximum(of_call, usual)
    golden = [GoldenCall(case.name, *pair) for case, *pair in zip(cases, inputs, outputs, strict=True)]
    for call, values, defined in zip(golden, truth, definition, strict=True):
        error = _relative(values[: len(defined), : defined.shape[1]], defined, call.outputs[LARGEST])
        if not error <= EXACT:
            raise CheckError(
                f"{signature.name}, case {call.name!r}: in float64 the model differs by {error:.1e} from its "
                f"definition, in which each candidate has a sequence of its own; {EXACT:.0e} is allowed"
            )
    return Expected(signature, cases, golden, truth)


def prove(
    form: str,
    answers: Expected,
    session: Session,
    vocabularies: Vocabularies,
    config: BSTConfig,
    vary: Sequence[int] | None = None,
) -> ParityRecord:
    """Compare one format with the recorded answers, and with itself.

    Args:
        vary: places of the cases that are repeated in ways that must not change the answer; by default two of those of
            `export.proof.golden.cases`.

    Raises:
        PartedError: an answer is not equal (see `compare`); the message names format, signature, case and row.
    """
    signature = answers.signature
    name = signature.output_names[-1]
    errors, true_errors, eager_errors, swaps, rows = [0.0], [0.0], [0.0], 0, 0
    for case, golden, truth in zip(answers.cases, answers.golden, answers.truth, strict=True):
        actual = session(golden.inputs)
        comparison = compare(signature, golden.outputs, actual)
        if comparison.failure:
            raise PartedError(f"{form}, {signature.name}, case {case.name!r}: {comparison.failure}", signature, case)
        errors.append(comparison.error)
        largest = golden.outputs.get(LARGEST)
        true_errors.append(_relative(actual[name], truth, largest))
        eager_errors.append(_relative(golden.outputs[name], truth, largest))
        swaps += comparison.swaps
        rows += len(truth)
    same = {"alone": 0.0}
    if config.padding == "ignored":
        same["more_padding"] = 0.0
    if signature.takes("candidates"):
        same["permuted"] = 0.0
    for position in _batches(answers.cases, config.max_length) if vary is None else vary:
        case, golden = answers.cases[position], answers.golden[position]
        for what, changed, comparison in _variations(signature, case, golden, session, vocabularies):
            if what not in same:
                continue
            if comparison.failure:
                message = (
                    f"{form}, {signature.name}, case {case.name!r}, {what.replace('_', ' ')}: {comparison.failure}"
                )
                raise PartedError(message, signature, changed)
            same[what] = max(same[what], comparison.error)
    return ParityRecord(
        format=form,
        signature=signature.name,
        cases=len(answers.cases),
        rows=rows,
        max_error=max(errors),
        error_to_float64=max(true_errors),
        eager_error_to_float64=max(eager_errors),
        swaps=swaps,
        alone=same["alone"],
        more_padding=same.get("more_padding"),
        permuted=same.get("permuted"),
    )


def _variations(
    signature: Signature, case: Call, golden: GoldenCall, session: Session, vocabularies: Vocabularies
) -> Iterator[tuple[str, Call, Comparison]]:
    """Repeat the calls in ways that must not change the answer; yield the way, the changed case, and the error."""

    def varied(what: str, changed: Call, expected: Arrays) -> tuple[str, Call, Comparison]:
        return what, changed, compare(signature, expected, session(changed.inputs(signature, vocabularies)))

    whole: Arrays = dict(session(case.inputs(signature, vocabularies)))
    whole |= {name: golden.outputs[name] for name in (RUNNER_UP, LARGEST) if name in golden.outputs}
    for row in range(len(case.items)):
        alone = slice(row, row + 1)
        yield varied("alone", case.rows(alone), {name: array[alone] for name, array in whole.items()})
    yield varied("more_padding", case.padded(MORE_PADDING), whole)
    if signature.takes("candidates"):
        turned = {**whole, **{name: whole[name][:, ::-1] for name in signature.output_names}}
        yield varied("permuted", case.of_candidates(slice(None, None, -1)), turned)


def _batches(cases: Sequence[Call], max_length: int) -> list[int]:
    """Return the cases that are repeated: the edge rows in one batch, and users whose histories leave room for
    padding.
    """
    names = [case.name for case in cases]
    users = [place for place, name in enumerate(names) if name.startswith("users_3x")]
    roomy = [place for place in users if cases[place].items.shape[1] + MORE_PADDING <= max_length]
    return [names.index("edges_in_one_batch"), (roomy or users)[-1]]


def _below(scores: Array, case: Call, settings: ExportSettings) -> Array:
    """Return the best score that `top_k` does not list: float32 `[batch]`."""
    count = case.k if settings.top_k.k_is_input else settings.top_k.limit
    if settings.top_k.exclude_history:
        scores = scores.copy()
        valid = (case.items > 0) & (case.items <= scores.shape[1])
        rows = np.nonzero(valid)[0]
        scores[rows, case.items[valid] - 1] = -np.inf
    return runner_up(scores, count)


def scales(outputs: Sequence[Array], truth: Sequence[Array]) -> list[Array]:
    """Return what errors of each row of each answer are relative to: float32 `[batch]`, its largest number.

    The numbers of a row may be small by chance where there are few, as the scores of a catalogue of two items, or in
    every row, where larger numbers cancel. Rounding errors do not shrink with them, so each scale is at least so large
    that `EAGER_ERRORS` times the largest error of eager float32 is allowed. That has a bound, so that a model that
    float32 cannot compute is not proven by it.
    """
    rows = [np.abs(values).max(axis=1) for values in outputs]
    typical = np.median(np.concatenate(rows))
    off = max(float(np.abs(values - exact).max()) for values, exact in zip(outputs, truth, strict=True))
    least = np.float32(min(off * EAGER_ERRORS / TOLERANCE, typical * MOST_CANCELLED))
    return [np.maximum(row, least) for row in rows]


def _relative(values: Array, exact: Array, largest: Array | None) -> float:
    there = np.isfinite(exact)
    scales = (np.abs(exact[there]).max(initial=0), 0 if largest is None else largest.max())
    scale = max(*map(float, scales), float(np.finfo(np.float32).tiny))
    return float(np.abs(values[there].astype(np.float64) - exact[there]).max(initial=0)) / scale
