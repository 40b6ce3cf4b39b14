"""Answers of the Python model to every case: in float32, in float64, and by a click model's definition.

They are computed before any format is loaded, so that the model can be freed first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bst.config import BSTConfig
from bst.data.vocabulary import Vocabularies
from bst.errors import CheckError
from bst.model import BST, ClickBST
from export.contract.inputs import Array, Arrays
from export.contract.model_signatures import build_signatures
from export.contract.parity import LARGEST, RUNNER_UP, runner_up
from export.contract.settings import ExportSettings
from export.contract.signatures import SCORE_CANDIDATES, USER_VECTOR, Ids, Signature
from export.proof.expected import Expected, relative, scales
from export.proof.golden import Call, GoldenCall
from export.proof.oracle import in_float64
from export.serving.scorer import ServedModel, make_scorer
from export.sessions.session import Session, eager_session

EXACT = 1e-10  # two ways of one sum in float64,
DEFINED_ROWS, DEFINED_CANDIDATES = 8, 7  # for so much of each call: a sequence for each candidate takes memory


@dataclass(frozen=True)
class Eager:
    """The Python model in float32, and the same weights in float64, with what its signatures are made of."""

    model: BST
    exact_model: BST
    config: BSTConfig
    vocabularies: Vocabularies
    settings: ExportSettings

    def signature(self, name: str, ids: Ids) -> Signature:
        top_k = self.settings.top_k
        (signature,) = build_signatures(self.config, self.vocabularies, (name,), top_k=top_k, ids=ids)
        return signature

    def session(self, model: BST, signature: Signature) -> Session:
        tables = self.vocabularies if signature.ids == "raw" else None
        scorer = make_scorer(model, self.config, self.settings.top_k)
        return eager_session(ServedModel(scorer, tables, self.config), signature)

    def inputs(self, signature: Signature, cases: Sequence[Call]) -> list[Arrays]:
        return [case.inputs(signature, self.vocabularies) for case in cases]

    def answers(self, signature: Signature, cases: Sequence[Call]) -> tuple[list[Arrays], list[Arrays], list[Array]]:
        """Return inputs, outputs in float32, and the last output in float64 of each case."""
        here, exact = (self.session(model, signature) for model in (self.model, self.exact_model))
        inputs = self.inputs(signature, cases)
        return inputs, [here(call) for call in inputs], [exact(call)[signature.output_names[-1]] for call in inputs]

    def by_definition(self, signature: Signature, cases: Sequence[Call]) -> list[Array]:
        """Answer the beginning of each call by a click model with a sequence for each candidate, in float64."""
        assert isinstance(self.exact_model, ClickBST)
        session = self.session(self.exact_model.tiled(), signature)
        beginnings = [case.rows(slice(DEFINED_ROWS)).of_candidates(slice(DEFINED_CANDIDATES)) for case in cases]
        return [session(inputs)[signature.output_names[-1]] for inputs in self.inputs(signature, beginnings)]


def answer(
    model: BST,
    config: BSTConfig,
    vocabularies: Vocabularies,
    settings: ExportSettings,
    signatures: Sequence[Signature],
    cases: Sequence[Call],
) -> Iterator[Expected]:
    """Run eager over every case of every signature, once in float32 and once in float64."""
    eager = Eager(model, in_float64(model), config, vocabularies, settings)
    of_task = _answers_of_catalogue if config.scores_catalogue else _answers_of_candidates
    yield from of_task(eager, signatures, cases)


def _answers_of_catalogue(eager: Eager, signatures: Sequence[Signature], cases: Sequence[Call]) -> Iterator[Expected]:
    # From the scores of all items: of each case the best score that `top_k` does not list, and the scale.
    scored = eager.signature("all_scores", signatures[0].ids)
    of_all = eager.answers(scored, cases)
    below = [_below(outputs["scores"], case, eager.settings) for outputs, case in zip(of_all[1], cases, strict=True)]
    largest = scales([outputs["scores"] for outputs in of_all[1]], of_all[2])
    for signature in signatures:
        inputs, outputs, truth = of_all if signature == scored else eager.answers(signature, cases)
        numbers = signature.output_names[-1]
        of_catalogue = signature.kind.of_catalogue
        largest_here = largest if of_catalogue else scales([arrays[numbers] for arrays in outputs], truth)
        for place, arrays in enumerate(outputs):
            arrays[LARGEST] = largest_here[place]
            if signature.kind.picks:
                arrays[RUNNER_UP] = below[place]
        golden = [GoldenCall(case.name, *pair) for case, *pair in zip(cases, inputs, outputs, strict=True)]
        yield Expected(signature, cases, golden, truth)


def _below(scores: Array, case: Call, settings: ExportSettings) -> Array:
    """Return the best score that `top_k` does not list: float32 `[batch]`."""
    count = case.k if settings.top_k.k_is_input else settings.top_k.limit
    if settings.top_k.exclude_history:
        scores = scores.copy()
        valid = (case.items > 0) & (case.items <= scores.shape[1])
        rows = np.nonzero(valid)[0]
        scores[rows, case.items[valid] - 1] = -np.inf
    return runner_up(scores, count)


def _answers_of_candidates(eager: Eager, signatures: Sequence[Signature], cases: Sequence[Call]) -> Iterator[Expected]:
    """Answer the signatures of a click model. What is scored from a user vector must be what is scored from the history
    itself, so its answers and its truth are those.
    """
    whole = eager.signature(SCORE_CANDIDATES, signatures[0].ids)
    of_whole = eager.answers(whole, cases)
    definition = eager.by_definition(whole, cases)
    encoded = cases
    for signature in signatures:
        if signature.kind.takes_user_vector:
            inputs, outputs = eager.inputs(signature, encoded), [dict(arrays) for arrays in of_whole[1]]
            yield _of_candidates(signature, encoded, inputs, outputs, of_whole[2], definition)
        elif signature.kind.takes_candidates:
            answers = of_whole if signature == whole else eager.answers(signature, cases)
            yield _of_candidates(signature, cases, *answers, definition)
        else:
            inputs, outputs, truth = eager.answers(signature, cases)
            vectors = [arrays[USER_VECTOR] for arrays in outputs]
            encoded = [
                replace(case, beside={**case.beside, USER_VECTOR: vector})
                for case, vector in zip(cases, vectors, strict=True)
            ]
            for arrays, largest in zip(outputs, scales(vectors, truth), strict=True):
                arrays[LARGEST] = largest
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
        error = relative(values[: len(defined), : defined.shape[1]], defined, call.outputs[LARGEST])
        if not error <= EXACT:
            raise CheckError(
                f"{signature.name}, case {call.name!r}: in float64 the model differs by {error:.1e} from its "
                f"definition, in which each candidate has a sequence of its own; {EXACT:.0e} is allowed"
            )
    return Expected(signature, cases, golden, truth)
