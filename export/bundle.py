"""The bundle: a run becomes a folder that any runtime can serve from, checked before it appears."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bst.checkpoint import Run, library_versions, load_run, read_vocabularies, run_hash, write_vocabularies
from bst.console import Tell
from bst.errors import CheckError, InputError
from bst.files import require_new, staged_folder, to_json
from bst.vocabulary import Vocabularies, Vocabulary
from export.backends import Session, eager_session, k_of, open_format, rebuild_eager, serve
from export.card import write_card
from export.golden import Case, GoldenCase, cases, read_golden, worth_storing, write_golden
from export.manifest import (
    FORMATS,
    MANIFEST_FILE,
    SCHEMA_VERSION,
    WHAT,
    Format,
    Manifest,
    ParityRecord,
    VocabularyFacts,
    check_files,
    list_files,
    read_manifest,
)
from export.onnx_graph import DEFAULT_OPSET, check_onnx, save_onnx
from export.parity import RUNNER_UP, TOLERANCE, compare, require_parity, runner_up
from export.scorer import ServedModel
from export.signatures import Ids, Signature, build_signatures
from export.torchscript import save_torchscript

DEFAULT_K = 10


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. `session` loads one signature in one backend."""

    path: Path
    manifest: Manifest
    vocabularies: Vocabularies

    def session(
        self, backend: str = "onnxruntime", signature: str = "top_k", *, threads: int | None = None, device: str = "cpu"
    ) -> Session:
        """Load a signature.

        Args:
            backend: `onnxruntime`, `torchscript` (frozen), or `eager`, which takes its weights from the TorchScript.
            signature: a name from the manifest.
            threads: of ONNX Runtime; torch takes its own from `torch.set_num_threads`.
            device: where `eager` computes.

        Raises:
            InputError: the backend is not known or the bundle does not hold what it needs.
        """
        stated = self.manifest.signature(signature)
        formats: dict[str, Format] = {"onnxruntime": "onnx", "torchscript": "torchscript"}
        if backend == "eager":
            return eager_session(rebuild_eager(self.path, self.manifest, self.vocabularies), stated, device)
        if backend not in formats:
            raise InputError(f"backend {backend!r} is not known; known: eager, {', '.join(formats)}")
        return open_format(self.path, self.manifest, formats[backend], stated, threads=threads)


def open_bundle(path: Path) -> Bundle:
    """Read manifest and vocabularies; the files are checked by `verify_bundle`, not here.

    Raises:
        InputError: the path is not a bundle.
    """
    manifest = read_manifest(path)
    return Bundle(path, manifest, read_vocabularies(path, WHAT))


def export_bundle(
    run_path: Path,
    out: Path,
    *,
    formats: tuple[Format, ...] = FORMATS,
    k: int = DEFAULT_K,
    ids: Ids = "raw",
    opset: int = DEFAULT_OPSET,
    tell: Tell = lambda step: None,
) -> Manifest:
    """Write the run at `run_path` as the bundle `out`, or nothing at all.

    Every file is opened again in its runtime and compared with the eager model at sizes that it was not exported with.

    Args:
        k: how many items `top_k` gives, at most the catalogue.
        ids: `raw` puts the vocabularies into the files; `index` leaves them to the caller.
        tell: called with a line before each step.

    Raises:
        InputError: `out` exists, a format is unknown, `k` does not fit, or the run cannot be read.
        CheckError: a format disagrees with the model; the message names the format, the case and the row.
    """
    require_new(out, "the bundle")
    unknown = [form for form in formats if form not in FORMATS]
    if unknown or not formats:
        raise InputError(f"formats {', '.join(unknown) or 'none'} cannot be exported; known: {', '.join(FORMATS)}")
    run = load_run(run_path)
    if not 1 <= k <= run.config.model.num_items:
        raise InputError(f"k={k} is not between 1 and the catalogue's {run.config.model.num_items} items; give another")
    signatures = build_signatures(run.config.model, run.vocabularies, k=k, ids=ids)
    served = serve(run.model, run.config.model, run.vocabularies if ids == "raw" else None, k)
    with staged_folder(out, "the bundle") as stage:
        _write_formats(stage, served, signatures, run, formats, opset, tell)
        write_vocabularies(stage, run.vocabularies)
        draft = Manifest(
            schema_version=SCHEMA_VERSION,
            ids=ids,
            signatures=signatures,
            formats=formats,
            files=(),
            model=run.config.model,
            items=_facts(run.vocabularies.items),
            context={name: _facts(one) for name, one in run.vocabularies.context.items()},
            tolerance=TOLERANCE,
            parity=(),
            opset=opset,
            run_sha256=run_hash(run_path),
            versions=library_versions("onnx", "onnxscript", "onnxruntime"),
        )
        parity = tuple(_prove(stage, draft, served, signature, run, tell) for signature in signatures)
        manifest = draft.model_copy(update={"parity": tuple(record for records in parity for record in records)})
        write_card(stage, manifest)
        manifest = manifest.model_copy(update={"files": list_files(stage)})
        (stage / MANIFEST_FILE).write_text(to_json(manifest.model_dump(mode="json")), encoding="utf-8")
    return manifest


@dataclass(frozen=True)
class Verdict:
    """What `verify_bundle` found for one signature in one format: the largest relative error of the golden calls."""

    format: Format
    signature: str
    cases: int
    rows: int
    max_error: float
    swaps: int


def verify_bundle(path: Path, tell: Tell = lambda step: None) -> Iterator[Verdict]:
    """Check the files against the manifest, load every one, and replay the golden vectors. Needs no training code.

    Raises:
        InputError: the path is not a bundle.
        CheckError: a file is missing or altered, or an answer differs; the message names the worst row.
    """
    manifest = read_manifest(path)
    tell("checking files")
    check_files(path, manifest)
    for signature in manifest.signatures:
        golden = read_golden(path / "golden", signature)
        if not golden:
            raise CheckError(f"{path}: there is no golden case of {signature.name} to replay; export again")
        for form in manifest.formats:
            tell(f"replaying {signature.name} in {form}")
            if form == "onnx":
                check_onnx(path / "onnx" / f"{signature.name}.onnx", signature)
            session = open_format(path, manifest, form, signature)
            errors, swaps, rows = [0.0], 0, 0
            for one in golden:
                comparison = compare(signature, one.outputs, session(one.case.inputs), manifest.tolerance)
                require_parity(f"{path}: {form}, {signature.name}, golden case {one.case.name!r}", comparison)
                errors.append(comparison.error)
                swaps += comparison.swaps
                rows += len(one.outputs["scores"])
            yield Verdict(form, signature.name, len(golden), rows, max(errors), swaps)


def _write_formats(
    stage: Path,
    served: ServedModel,
    signatures: tuple[Signature, ...],
    run: Run,
    formats: tuple[Format, ...],
    opset: int,
    tell: Tell,
) -> None:
    for form in formats:
        tell(f"exporting {form}")
        folder = stage / form
        folder.mkdir()
        if form == "onnx":
            save_onnx(served.scorer, signatures, run.vocabularies, folder, opset=opset)
        else:
            save_torchscript(served, signatures, folder / "model.pt")


def _prove(
    stage: Path, manifest: Manifest, served: ServedModel, signature: Signature, run: Run, tell: Tell
) -> list[ParityRecord]:
    """Compare every format with eager, call by call; write the golden vectors of the signature."""
    every = list(cases(run.config.model, run.vocabularies, run.heldout, manifest.ids))
    golden = [GoldenCase(case, outputs) for case, outputs in _answers(served, signature, iter(every))]
    if signature.name == "top_k":
        scored = _answers(served, manifest.signature("all_scores"), iter(every))
        for one, (_, outputs) in zip(golden, scored, strict=True):
            one.outputs[RUNNER_UP] = runner_up(outputs["scores"], k_of(manifest.signatures))
    tell(f"comparing {signature.name} with float64")
    truth = [
        outputs["scores"]
        for _, outputs in _answers(copy.deepcopy(served).double(), signature, (one.case for one in golden))
    ]
    records = []
    for form in manifest.formats:
        tell(f"comparing {signature.name} in {form} with eager")
        session = open_format(stage, manifest, form, signature)
        errors, true_errors, eager_errors, swaps, rows = [0.0], [0.0], [0.0], 0, 0
        for one, exact in zip(golden, truth, strict=True):
            actual = session(one.case.inputs)
            comparison = compare(signature, one.outputs, actual)
            require_parity(f"{form}, {signature.name}, case {one.case.name!r}", comparison)
            errors.append(comparison.error)
            true_errors.append(_relative(actual["scores"], exact))
            eager_errors.append(_relative(one.outputs["scores"], exact))
            swaps += comparison.swaps
            rows += len(exact)
        records.append(
            ParityRecord(
                format=form,
                signature=signature.name,
                cases=len(golden),
                rows=rows,
                max_error=max(errors),
                error_to_float64=max(true_errors),
                eager_error_to_float64=max(eager_errors),
                swaps=swaps,
            )
        )
    write_golden(stage / "golden", signature, [one for one in golden if worth_storing(signature, one.case)])
    return records


def _answers(
    served: ServedModel, signature: Signature, given: Iterator[Case]
) -> Iterator[tuple[Case, dict[str, np.ndarray]]]:
    session = eager_session(served, signature)
    for case in given:
        yield case, session(case.inputs)


def _relative(scores: np.ndarray, exact: np.ndarray) -> float:
    scale = max(float(np.abs(exact).max()), np.finfo(np.float32).tiny)
    return float(np.abs(scores.astype(np.float64) - exact).max() / scale)


def _facts(vocabulary: Vocabulary) -> VocabularyFacts:
    return VocabularyFacts(dtype=vocabulary.dtype, count=len(vocabulary), padding=vocabulary.padding)
