"""An opened bundle: a session for each signature in each backend, and the verification of its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bst.data.vocabulary import Vocabularies
from bst.errors import CheckError, InputError
from bst.run.folder import read_vocabularies
from bst.system.console import Tell
from export.contract.contents import check_files, require_files
from export.contract.manifest import MANIFEST_FILE, WHAT, FormatRecord, Manifest, OutputLayer
from export.contract.model_signatures import build_signatures, require_signatures
from export.contract.parity import TOLERANCE, compare
from export.contract.rules import read_manifest
from export.contract.signatures import ENCODE_USER, FROM_USER, OF_OUTPUT_LAYER, Ids, Signature
from export.formats import FORMATS, Format
from export.formats.compatibility import obstacles
from export.formats.format import file_of
from export.proof.golden import GoldenCall, read_golden
from export.sessions.candidate_scorer import CandidateScorer, UserScorer
from export.sessions.recommender import Recommender
from export.sessions.session import LookedUp, Session, eager_session, one_at_a_time, rebuild_eager


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. `session` loads one signature in one backend."""

    path: Path
    manifest: Manifest
    vocabularies: Vocabularies

    def session(
        self, backend: str = "onnxruntime", signature: str = "top_k", *, threads: int | None = None, device: str = "cpu"
    ) -> Session:
        """Load a signature. Its ids are those of the bundle's level, whatever the format itself can hold.

        Args:
            backend: that of a format (`onnxruntime`, `torchscript`, `pt2`, `aotinductor`), or `eager`, the Python model
                with the plain weights of the bundle.
            signature: a name from the manifest; `eager` has every signature of the model.
            threads: of ONNX Runtime, instead of what the manifest advises; torch takes its own from
                `torch.set_num_threads`.
            device: where `eager` computes.

        Raises:
            InputError: the backend is not known, the bundle does not hold what it needs, or it cannot run here.
        """
        if backend == "eager":
            description = self.signature_at(signature, self.manifest.ids)
            return eager_session(rebuild_eager(self.path, self.manifest, self.vocabularies), description, device)
        self.manifest.signature(signature)  # refuses one that the bundle does not have
        form = format_of_backend(backend)
        record = self.manifest.format(form.name)
        if reasons := obstacles(record):
            raise InputError(f"{self.path}: {record.name} {'; '.join(reasons)}")
        options = self.manifest.session_options
        return self.looked_up(
            signature,
            record.ids,
            lambda inner: form.open_in(self.path, record, inner, threads=threads, options=options),
        )

    def recommender(self, backend: str = "onnxruntime", *, threads: int | None = None) -> Recommender:
        """Load `top_k` to recommend for one user a call, by raw ids and a list, at whatever level the bundle is.

        `backend` and `threads` are those of `session`, and so is what raises.
        """
        return Recommender(self._raw_session("top_k", backend, threads), self.manifest, self.vocabularies)

    def scorer(self, backend: str = "onnxruntime", *, threads: int | None = None) -> CandidateScorer:
        """Load `score_candidates` to score listed items for many users a call, by raw ids; as `recommender`."""
        return CandidateScorer(self._raw_session("score_candidates", backend, threads), self.manifest)

    def user_scorer(self, backend: str = "onnxruntime", *, threads: int | None = None) -> UserScorer:
        """Load what a click model scores kept users by, whose history is computed once; as `recommender`."""
        encoding, scoring = (self._raw_session(name, backend, threads) for name in (ENCODE_USER, FROM_USER))
        return UserScorer(encoding, scoring, self.manifest)

    def _raw_session(self, name: str, backend: str, threads: int | None) -> Session:
        session = self.session(backend, name, threads=threads)
        if session.signature.ids == "index":
            session = LookedUp(self.signature_at(name, "raw"), session, self.vocabularies, self.manifest.model)
        return session

    def looked_up(self, name: str, ids: Ids, opened: Callable[[Signature], Session]) -> Session:
        """Wrap a session whose ids are `ids` so that its ids are those of the bundle's level.

        Args:
            name: of a signature; `opened` gets it at the level `ids`.
            ids: at index level in a bundle of raw ids, they are looked up when inputs are prepared and outputs
                finished, not while the session runs.
            opened: loads the session.
        """
        outer, inner = self.signature_at(name, self.manifest.ids), opened(self.signature_at(name, ids))
        return inner if ids == outer.ids else LookedUp(outer, inner, self.vocabularies, self.manifest.model)

    def signature_at(self, name: str, ids: Ids) -> Signature:
        """Describe a signature of the model at a level, whether the bundle has it there or not.

        Raises:
            InputError: the model has no signature of that name; the message lists those that it has.
        """
        require_signatures([name], self.manifest.model, "ask for")
        (signature,) = build_signatures(
            self.manifest.model, self.vocabularies, [name], top_k=self.manifest.settings.top_k, ids=ids
        )
        return signature

    def output_layer(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Map the vectors that a user vector is multiplied with, read-only; a row is read when it is used.

        Returns:
            Weights `[num_items, width]` and biases `[num_items]`, float32; row j is the item with index j + 1, whose id
            is entry j of the vocabulary. `user_vector @ weights.T + biases` are the scores.

        Raises:
            InputError: the bundle does not state their place, which needs ONNX files, and the signatures `all_scores`
                and `encode_user`.
        """
        layer = self.manifest.output_layer
        if layer is None:
            raise InputError(
                f"{self.path} does not say where its output layer lies: that takes the format onnx and the signatures "
                f"{' and '.join(OF_OUTPUT_LAYER)}; export with them"
            )
        return map_output_layer(self.path, layer)


def format_of_backend(backend: str) -> Format:
    """Return the format that a backend executes.

    Raises:
        InputError: no format has that backend.
    """
    for form in FORMATS:
        if form.backend == backend:
            return form
    backends = ", ".join(form.backend for form in FORMATS)
    raise InputError(f"backend {backend!r} is not known; known: eager, {backends}")


def open_bundle(path: Path | str) -> Bundle:
    """Read manifest and vocabularies. Only place and size of the files are checked: `verify_bundle` reads them.

    Raises:
        InputError: the path is not a bundle, its vocabulary is another than the manifest states, or a file of it is
            cut short or a link out of it.
    """
    path = Path(path)
    manifest = read_manifest(path)
    require_files(path, manifest)
    vocabularies = read_vocabularies(path, WHAT)
    expected = {name: (vocabulary.dtype, vocabulary.count, vocabulary.padding) for name, vocabulary in _named(manifest)}
    actual = {
        name: (vocabulary.dtype, len(vocabulary), vocabulary.padding) for name, vocabulary in _named(vocabularies)
    }
    if actual != expected:
        raise InputError(
            f"{path}: vocabulary.json holds {actual}, {MANIFEST_FILE} states {expected}; "
            "export again or restore the files"
        )
    if (vocabularies.items.names is not None) != manifest.items.named:
        without = "no names" if manifest.items.named else "names"
        raise InputError(
            f"{path}: vocabulary.json holds {without} of items, {MANIFEST_FILE} states named={manifest.items.named}; "
            "export again or restore the files"
        )
    return Bundle(path, manifest, vocabularies)


def _named(holder: Manifest | Vocabularies) -> list[tuple[str, Any]]:
    """List what `holder` has of the ids of every input, by name."""
    groups = (holder.context, holder.events, holder.candidate_features)
    return [("items", holder.items), *(pair for group in groups for pair in group.items())]


@dataclass(frozen=True)
class Verdict:
    """The result of `verify_bundle` for one signature in one format.

    Attributes:
        cases: golden calls that were replayed, with `rows` rows together; 0 where the golden file was left out, and the
            signature was only loaded.
        max_error: the largest error of a call, relative to its largest score; None without a call.
    """

    format: str
    signature: str
    cases: int
    rows: int
    max_error: float | None
    swaps: int


def verify_bundle(
    path: Path | str, tell: Tell = lambda step: None, note: Tell = lambda line: None
) -> Iterator[Verdict]:
    """Check the files against the manifest, load every one, and replay the golden vectors. Needs no training code.

    Args:
        tell: called with a line before each step.
        note: called with a line for each allowed difference: see `check_files`.

    Raises:
        InputError: the path is not a bundle.
        CheckError: a file is missing or altered, a format cannot run on this machine, or an answer differs; the message
            names the golden call with the worst row of its signature and format.
    """
    path = Path(path)
    manifest = read_manifest(path)
    tell("checking files")
    for line in check_files(path, manifest):
        note(line)
    with one_at_a_time() as collect:
        for record in manifest.formats:
            if reasons := obstacles(record):
                raise CheckError(f"{path}: {record.name} {'; '.join(reasons)}")
            for signature in manifest.signatures_of(record):
                tell(f"replaying {signature.name} in {record.name}")
                verdict = replay(path, manifest, record, signature)
                collect()
                yield verdict
        check_output_layer(path, manifest.output_layer, manifest.signatures)


def check_output_layer(path: Path, layer: OutputLayer | None, signatures: Sequence[Signature]) -> None:
    """Check the output layer that the manifest states: golden user vectors times it are the golden scores.

    Args:
        layer: nothing is checked if it is None, or if a golden file of its signatures is missing.
        signatures: those of the bundle, at its own level first.

    Raises:
        CheckError: they differ.
    """
    if layer is None:
        return
    if not all((path / "golden" / f"{name}.json").exists() for name in OF_OUTPUT_LAYER):
        return
    weights, biases = map_output_layer(path, layer)
    encoded, scored = (next(spec for spec in signatures if spec.name == name) for name in OF_OUTPUT_LAYER)
    users = {call.name: call.outputs["user_vector"] for call in read_golden(path / "golden", encoded)}
    for call in read_golden(path / "golden", scored):
        if call.name in users:
            product = {"scores": users[call.name] @ weights.T + biases}
            comparison = compare(scored, call.outputs, product, TOLERANCE)
            if comparison.failure:
                raise CheckError(f"{path}: the output layer is not where the manifest says: {comparison.failure}")


def map_output_layer(path: Path, layer: OutputLayer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Map weights and biases of `layer`, a row an item; see `Bundle.output_layer`."""
    weights, biases = (
        np.memmap(path / place.path, np.dtype("<f4"), "r", place.offset, place.shape)[layer.first_row :]
        for place in (layer.weights, layer.biases)
    )
    return weights, biases


def replay(path: Path, manifest: Manifest, record: FormatRecord, signature: Signature) -> Verdict:
    """Run the golden calls of one signature in one format; a step of `verify_bundle`."""
    recorded = f"{record.golden}/{signature.name}.json"  # another file of that name proves nothing
    listed = any(file.path == recorded for file in manifest.files) and (path / recorded).exists()
    golden = _golden_to_replay(path, record, signature) if listed else []
    form = FORMATS.find(record.name)
    form.beside_in(path, manifest, record, signature)
    form.check(file_of(path, record, signature), signature)
    try:
        session = form.open_in(path, record, signature)
    except InputError as error:  # a file of a bundle that does not load is a check that failed
        raise CheckError(str(error)) from None
    if not golden:
        return Verdict(record.name, signature.name, 0, 0, None, 0)
    results = [compare(signature, call.outputs, session(call.inputs), manifest.tolerance) for call in golden]

    def how_bad(place: int) -> tuple[bool, float]:
        return results[place].failure is not None, results[place].error

    worst = max(range(len(golden)), key=how_bad)
    if results[worst].failure:
        failed = sum(result.failure is not None for result in results)
        raise CheckError(
            f"{path}: {record.name}, {signature.name}, golden case {golden[worst].name!r}: {results[worst].failure} "
            f"({failed} of {len(golden)} calls fail)"
        )
    rows = sum(len(call.outputs[signature.output_names[-1]]) for call in golden)
    swaps = sum(result.swaps for result in results)
    return Verdict(record.name, signature.name, len(golden), rows, results[worst].error, swaps)


def _golden_to_replay(path: Path, record: FormatRecord, signature: Signature) -> list[GoldenCall]:
    try:
        golden = read_golden(path / record.golden, signature)
    except InputError as error:  # as any file of a bundle
        raise CheckError(str(error)) from None
    if not golden:
        raise CheckError(f"{path}: there is no golden case of {signature.name} to replay; export again")
    return golden
