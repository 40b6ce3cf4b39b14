"""The proof: every format against eager float32 and float64, and against itself under changes that must not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bst.config import BSTConfig
from bst.data.vocabulary import Vocabularies
from bst.errors import CheckError
from export.contract.inputs import Array, Arrays
from export.contract.manifest import ParityRecord
from export.contract.model_signatures import build_signatures
from export.contract.parity import LARGEST, RUNNER_UP, TOLERANCE, Comparison, compare
from export.contract.signatures import ENCODE_USER, SCORE_CANDIDATES, Signature, TopK
from export.proof.expected import Expected, relative
from export.proof.golden import Call, GoldenCall
from export.sessions.session import Session

MORE_PADDING = 3


class PartedError(CheckError):
    """A difference of a format: its case and signature, so that the block can be searched where it begins."""

    def __init__(self, message: str, signature: Signature, case: Call) -> None:
        super().__init__(message)
        self.signature, self.case = signature, case


def prove_opened(
    form: str,
    answers: Expected,
    opened: Callable[[Signature], Session],
    vocabularies: Vocabularies,
    config: BSTConfig,
) -> ParityRecord:
    """Open a signature and prove it (see `prove`): one that takes user vectors with those of the model, and then behind
    the format's own `encode_user`, where a history goes in as in `score_candidates`.
    """
    signature = answers.signature
    session = opened(signature)
    record = prove(form, answers, session, vocabularies, config)
    if not signature.kind.takes_user_vector:
        return record
    names = (SCORE_CANDIDATES, ENCODE_USER)
    whole, encoding = build_signatures(config, vocabularies, names, top_k=TopK(), ids=signature.ids)
    joined = signature.model_copy(update={"inputs": whole.inputs})
    golden = [
        replace(call, inputs=case.inputs(joined, vocabularies))
        for call, case in zip(answers.golden, answers.cases, strict=True)
    ]
    behind = prove(
        form,
        replace(answers, signature=joined, golden=golden),
        _Encoded(joined, opened(encoding), session),
        vocabularies,
        config,
    )
    return behind.model_copy(
        update={
            "max_error": max(record.max_error, behind.max_error),
            "error_to_float64": max(record.error_to_float64, behind.error_to_float64),
        }
    )


class _Encoded(Session):
    """`score_candidates_from_user` behind `encode_user`, called as `score_candidates` is."""

    def __init__(self, signature: Signature, encode: Session, score: Session) -> None:
        super().__init__(signature)
        self.encode, self.score = encode, score

    def prepare(self, inputs: Mapping[str, Array]) -> Any:
        return inputs

    def run(self, prepared: Arrays) -> Any:
        users = self.encode.answer(prepared)
        return self.score.answer({**prepared, **users})

    def finish(self, outputs: Arrays) -> Arrays:
        return outputs


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
    name, there = signature.output_names[-1], f"{form}, {signature.name}, case"
    errors, true_errors, eager_errors, swaps, rows = [0.0], [0.0], [0.0], 0, 0
    for case, golden, truth in zip(answers.cases, answers.golden, answers.truth, strict=True):
        actual = session(golden.inputs)
        comparison = compare(signature, golden.outputs, actual)
        if comparison.failure:
            failure = f"{there} {case.name!r}: {comparison.failure}"
            raise PartedError(failure + _limit_of_float32(golden.outputs[name], truth), signature, case)
        errors.append(comparison.error)
        largest = golden.outputs.get(LARGEST)
        true_errors.append(relative(actual[name], truth, largest))
        eager_errors.append(relative(golden.outputs[name], truth, largest))
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
                message = f"{there} {case.name!r}, {what.replace('_', ' ')}: {comparison.failure}"
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


def _limit_of_float32(eager: Array, truth: Array) -> str:
    """Say that float32 cannot compute the model to the tolerance, where eager itself cannot; else say nothing."""
    error = relative(eager, truth, None)
    if error <= TOLERANCE:
        return ""
    return f"; eager float32 itself is off by {error:.2e} from float64, more than the {TOLERANCE:.0e} that is allowed"


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
