"""The export of a run as a bundle: written in every format, proven, and only then renamed into place."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from bst.config import BSTConfig
from bst.data.batches import Examples
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.errors import CheckError, InputError
from bst.run.folder import (
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    Run,
    library_versions,
    load_run,
    run_hash,
    save_weights,
    write_vocabularies,
)
from bst.system.console import Tell
from bst.system.files import replaced_folder, require_space, staged_folder, to_json
from bst.system.processes import in_own_process
from export.bundle.folder import check_output_layer, verify_bundle
from export.bundle.likeness import require_likeness
from export.bundle.recording import drop_unless_kept, golden_folder, record_answers
from export.bundle.tuning import tune
from export.contract.choices import ZEN_4, Rates, Tuning
from export.contract.contents import keep_what_is_not_ours, list_files
from export.contract.manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    Description,
    FormatRecord,
    HistoryRecord,
    Manifest,
    OutputLayer,
    ParityRecord,
    VocabularyFacts,
)
from export.contract.model_signatures import build_signatures, require_exportable
from export.contract.parity import TOLERANCE
from export.contract.quality import ClickQuality, OwnTopK, Quality
from export.contract.recordings import RECORDINGS
from export.contract.rules import read_manifest
from export.contract.settings import ExportSettings
from export.contract.signatures import Ids, Signature, TopK
from export.formats import FORMATS, Format, Order
from export.handout.card import write_card
from export.proof.blocks import where_they_part
from export.proof.expected import Expected
from export.proof.prove import PartedError, prove_opened
from export.proof.quality import measure_top_k, quality_of
from export.sessions.session import one_at_a_time
from export.shortlist.choice import Shortlist, choose_shortlist
from export.shortlist.rates import measure_rates

DEFAULTS = ExportSettings()
GOLDEN_SPACE = 50_000_000  # room for golden vectors and graphs


def export_bundle(
    run_path: Path | str, out: Path | str, settings: ExportSettings = DEFAULTS, *, tell: Tell = lambda step: None
) -> Manifest:
    """Write the run at `run_path` as the bundle `out`, or nothing at all.

    Every file is reopened in its runtime and compared with the eager model at sizes other than those of the export.

    Args:
        tell: called with a line before each step.

    Raises:
        InputError: `out` exists, k is beyond the catalogue, a compiler is missing, or the run cannot be read.
        CheckError: a format disagrees with the model; the message names the format, the case, the row, and the first
            block of the model where they differ.
    """
    with staged_folder(Path(out), "the bundle") as stage:
        return _build(stage, Path(run_path), settings, tell)


def refresh_bundle(run_path: Path, bundle: Path, *, tell: Tell = lambda step: None) -> Manifest:
    """Replace the weights and id tables in `bundle` by those of another run, with the bundle's own settings.

    The new bundle is written beside the old one, proven and verified; then the two change places in one step. Until
    then, and if anything fails, the old one is as it was. Programs that have its files open can go on using them.

    Other files in the bundle stay there, and so does an edited card, under another name, with a warning.

    Raises:
        InputError: `bundle` is not one, or the run is of another architecture; the message lists all differences.
        CheckError: as `export_bundle`, or the new bundle does not verify.
    """
    old = read_manifest(bundle)
    with replaced_folder(bundle, "the bundle") as stage:
        manifest = _build(stage, run_path, old.settings, tell, like=old)
        for _ in verify_bundle(stage, tell):
            pass
        # As it is now: somebody else may have refreshed it meanwhile, which is no edit.
        for line in keep_what_is_not_ours(bundle, read_manifest(bundle), stage):
            warnings.warn(line, stacklevel=2)
    return manifest


@dataclass(frozen=True)
class _Written:
    """The content of the folder before any of it is proven."""

    formats: tuple[FormatRecord, ...]
    output_layer: OutputLayer | None
    answers: list[Expected]


def _build(stage: Path, run_path: Path, settings: ExportSettings, tell: Tell, like: Manifest | None = None) -> Manifest:
    trained = load_run(run_path)
    run = trained.folded()
    top_k = settings.top_k.as_measured(run.config.training.filter_seen)
    settings = settings.of_model(run.config.model).model_copy(update={"top_k": top_k})
    _require_fit(run, settings, like)
    quality = quality_of(run, run_path)
    forms = [FORMATS.find(name) for name in settings.formats]
    _require_room(stage, run_path, forms, settings)
    config, vocabularies = run.config.model, run.vocabularies
    levels = dict.fromkeys((settings.ids, *(form.level(settings.ids, vocabularies) for form in forms)))
    signatures = {
        ids: build_signatures(config, vocabularies, settings.signatures, top_k=settings.top_k, ids=ids)
        for ids in levels
    }
    facts: dict[str, Any] = {
        "settings": settings,
        "model": config,
        "items": VocabularyFacts.of(vocabularies.items),
        **{part: _facts(getattr(vocabularies, part)) for part in ("context", "events", "candidate_features")},
        "item_features": _features_of_items(trained.config.model),
        "versions": library_versions("onnx", "onnxscript", "onnxruntime"),
        "run_sha256": run_hash(run_path),
    }
    rates = _rates(settings, tell)
    plan = _plan(run, settings, rates, tell)
    written = _write(stage, run, forms, signatures, facts, plan, tell)
    _place_weights(stage, run, run_path / WEIGHTS_FILE if run is trained else None)
    shortlist, test = plan.record() if plan else None, run.heldout.test
    del run, trained, plan  # the formats are loaded one by one, without these gigabytes beside them
    parity = tuple(_proven(stage, written, vocabularies, config, run_path, tell))
    written.answers.clear()
    if isinstance(quality, Quality) and test:
        own = _own_top_k(stage, written.formats, signatures, vocabularies, test, top_k, tell)
        quality = quality.model_copy(update={"top_k": own})
    all_signatures = tuple(chain.from_iterable(signatures.values()))
    check_output_layer(stage, written.output_layer, all_signatures)
    description = Description(
        schema_version=SCHEMA_VERSION,
        signatures=all_signatures,
        formats=written.formats,
        weights=WEIGHTS_FILE,
        output_layer=written.output_layer,
        shortlist=shortlist,
        tuning=_tuned(stage, written.formats, all_signatures, rates, tell) if settings.tune else None,
        tolerance=TOLERANCE,
        parity=parity,
        quality=quality if isinstance(quality, Quality) else None,
        click_quality=quality if isinstance(quality, ClickQuality) else None,
        history=HistoryRecord.of(config),
        **facts,
    )
    drop_unless_kept(stage, settings)
    write_card(stage, description, vocabularies)
    manifest = Manifest(**dict(description), files=list_files(stage))
    (stage / MANIFEST_FILE).write_text(to_json(manifest.model_dump(mode="json")), encoding="utf-8")
    return manifest


def _features_of_items(model: BSTConfig) -> tuple[str, ...]:
    return *(feature.name for feature in model.item_features), *(number.name for number in model.item_numbers)


def _place_weights(stage: Path, run: Run, file: Path | None) -> None:
    """Write the weights of a run, or copy the `file` that has them: of gigabytes, no second copy is in memory."""
    if file is None:
        save_weights(stage, run.model)
    else:
        shutil.copyfile(file, stage / WEIGHTS_FILE)


def _facts(vocabularies: Mapping[str, Vocabulary]) -> dict[str, VocabularyFacts]:
    return {name: VocabularyFacts.of(vocabulary) for name, vocabulary in vocabularies.items()}


def _require_room(stage: Path, run_path: Path, forms: Sequence[Format], settings: ExportSettings) -> None:
    """Refuse before anything is written: torch ends the whole process when the disk is full in the middle of an
    archive."""
    copies = 1 + sum(form.copies(settings) for form in forms)
    weights, ids = ((run_path / name).stat().st_size for name in (WEIGHTS_FILE, VOCABULARY_FILE))
    require_space(stage, int(1.1 * copies * weights) + 8 * ids + GOLDEN_SPACE, "the bundle")


def _rates(settings: ExportSettings, tell: Tell) -> Rates:
    """Return the costs of the operators of `top_k`: measured here if the settings say so, else a known machine's."""
    if not (settings.tune and _looks_first(settings)):
        return ZEN_4
    tell("measuring the costs of the operators of top_k here")
    return in_own_process(measure_rates)


def _plan(run: Run, settings: ExportSettings, rates: Rates, tell: Tell) -> Shortlist | None:
    if not _looks_first(settings):
        return None
    tell("choosing compact copies of the output layer")
    limit, excluding = settings.top_k.limit, settings.top_k.exclude_history
    return choose_shortlist(run.model, run.heldout, limit, exclude_history=excluding, rates=rates)


def _looks_first(settings: ExportSettings) -> bool:
    return settings.shortlist and "onnx" in settings.formats and "top_k" in settings.signatures


def _write(
    stage: Path,
    run: Run,
    forms: Sequence[Format],
    signatures: Mapping[Ids, tuple[Signature, ...]],
    facts: Mapping[str, Any],
    plan: Shortlist | None,
    tell: Tell,
) -> _Written:
    """Write formats, vocabularies and golden vectors; return with them the eager answers to every case."""
    settings: ExportSettings = facts["settings"]
    records, output_layer = [], None
    for form in forms:
        ids = form.level(settings.ids, run.vocabularies)
        tell(f"exporting {form.name}")
        folder = stage / form.name
        folder.mkdir()
        metadata = _metadata(facts, signatures[ids])
        output_layer = form.write(Order(folder, run, signatures[ids], settings, metadata, plan)) or output_layer
        records.append(
            FormatRecord(
                name=form.name,
                ids=ids,
                entries={name: form.entry(name) for name in settings.signatures},
                golden=golden_folder(ids, settings),
                equal_scores=form.equal_scores,
                needs=form.needs(folder, settings),
            )
        )
    write_vocabularies(stage, run.vocabularies)
    tell("running the model, in float32 and in float64")
    all_signatures = [*chain.from_iterable(signatures.values())]
    return _Written(tuple(records), output_layer, record_answers(stage, run, settings, all_signatures))


def _proven(
    stage: Path, written: _Written, vocabularies: Vocabularies, config: BSTConfig, run_path: Path, tell: Tell
) -> Iterator[ParityRecord]:
    """Compare every format with eager, one session after another."""
    with one_at_a_time() as collect:
        for record in written.formats:
            for answers in written.answers:
                signature = answers.signature
                if signature.ids != record.ids:
                    continue
                tell(f"comparing {signature.name} in {record.name} with eager")
                try:
                    opened = partial(FORMATS.find(record.name).open_in, stage, record)
                    yield prove_opened(record.name, answers, opened, vocabularies, config)
                except PartedError as error:
                    run = load_run(run_path).folded()  # once more, to look for the block
                    where = where_they_part(stage, record, error.signature, error.case, run)
                    raise CheckError(f"{error}; {where}") from None
                collect()


def _own_top_k(
    stage: Path,
    records: Sequence[FormatRecord],
    signatures: Mapping[Ids, tuple[Signature, ...]],
    vocabularies: Vocabularies,
    test: Examples,
    top_k: TopK,
    tell: Tell,
) -> OwnTopK | None:
    """Measure the first format that has `top_k`; the others are proven equal."""
    for record in records:
        for signature in signatures[record.ids]:
            if signature.kind.picks:
                tell(f"running {signature.name} in {record.name} for {len(test):,} test users")
                with one_at_a_time() as collect:
                    session = FORMATS.find(record.name).open_in(stage, record, signature)
                    own = measure_top_k(session, signature, vocabularies, test, top_k.limit)
                    del session
                    collect()
                return own
    return None


def _tuned(
    stage: Path, records: Sequence[FormatRecord], signatures: Sequence[Signature], rates: Rates, tell: Tell
) -> Tuning:
    (record,) = (record for record in records if record.name == "onnx")
    named = {spec.name: spec for spec in signatures if spec.ids == record.ids and spec.name in record.entries}
    return tune(stage, record, named.get("top_k", next(iter(named.values()))), rates, tell)


def _require_fit(run: Run, settings: ExportSettings, like: Manifest | None) -> None:
    count, limit = run.config.model.num_items, settings.top_k.limit
    if limit > count and run.config.model.scores_catalogue:
        raise InputError(f"k={limit} is not between 1 and the catalogue's {count} items; give another")
    if settings.tune and "onnx" not in settings.formats:
        raise InputError(f"tune tries ONNX Runtime, and formats={','.join(settings.formats)} lacks onnx; add it")
    RECORDINGS.find(settings.golden)
    require_exportable(settings.signatures, run.config.model)
    for name in settings.formats:
        FORMATS.find(name).require(run.config.model, settings)
    if like is not None:
        require_likeness(run, like)


def _metadata(facts: Mapping[str, Any], signatures: Sequence[Signature]) -> dict[str, str]:
    """Return the metadata that every file holds, for readers that find it without the manifest: JSON by name."""
    values = {**facts, "signatures": list(signatures)}
    return {f"bst.{name}": json.dumps(to_jsonable_python(value), ensure_ascii=False) for name, value in values.items()}
