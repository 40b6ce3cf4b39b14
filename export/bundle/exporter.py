"""A run becomes a bundle: written in every format, proven, and only then given its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bst.config import BSTConfig
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.errors import CheckError, InputError
from bst.run.folder import (
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    Run,
    library_versions,
    load_run,
    run_hash,
    write_vocabularies,
)
from bst.system.console import Tell
from bst.system.files import replaced_folder, require_space, staged_folder, to_json
from bst.system.processes import in_own_process
from export.bundle.folder import check_output_layer, verify_bundle
from export.bundle.tuning import tune
from export.contract.contents import list_files
from export.contract.manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    Entry,
    FormatRecord,
    Manifest,
    OutputLayer,
    ParityRecord,
    VocabularyFacts,
    read_manifest,
)
from export.contract.parity import TOLERANCE
from export.contract.settings import ExportSettings, Format
from export.contract.signatures import Ids, Signature, build_signatures, can_hold_raw_ids
from export.formats import aotinductor, torchscript
from export.formats.onnx.graph import save_onnx
from export.handout.card import write_card
from export.proof import blocks
from export.proof.golden import cases, worth_storing, write_golden
from export.proof.prove import Answers, PartedError, answer, prove
from export.serving.scorer import Scorer, ServedModel
from export.sessions.compatibility import needs_of
from export.sessions.session import one_at_a_time, open_format
from export.shortlist.choice import Shortlist, choose_shortlist
from export.shortlist.rates import ZEN_4, Rates, measure_rates

DEFAULTS = ExportSettings()
GOLDEN_SPACE = 50_000_000  # room for golden vectors and graphs


def export_bundle(
    run_path: Path, out: Path, settings: ExportSettings = DEFAULTS, *, tell: Tell = lambda step: None
) -> Manifest:
    """Write the run at `run_path` as the bundle `out`, or nothing at all.

    Every file is opened again in its runtime and compared with the eager model at sizes that it was not exported with.

    Args:
        tell: called with a line before each step.

    Raises:
        InputError: `out` exists, k is beyond the catalogue, a compiler is missing, or the run cannot be read.
        CheckError: a format disagrees with the model; the message names the format, the case, the row, and the first
            block of the model where they part.
    """
    with staged_folder(out, "the bundle") as stage:
        return _build(stage, run_path, settings, tell)


def refresh_bundle(run_path: Path, bundle: Path, *, tell: Tell = lambda step: None) -> Manifest:
    """Put the weights and id tables of another run into `bundle`, with the settings that it was exported with.

    The new bundle is written beside the old one, proven and verified; then the two change places in one step. Until
    then, and if anything fails, the old one is as it was. Who holds its files open can go on using them.

    Raises:
        InputError: `bundle` is not one, or the run is of another architecture; all differences are named.
        CheckError: as `export_bundle`, or the new bundle does not verify.
    """
    old = read_manifest(bundle)
    with replaced_folder(bundle, "the bundle") as stage:
        manifest = _build(stage, run_path, old.settings, tell, like=old)
        for _ in verify_bundle(stage, tell):
            pass
    return manifest


def _build(stage: Path, run_path: Path, settings: ExportSettings, tell: Tell, like: Manifest | None = None) -> Manifest:
    manifest, vocabularies, answers, rates = _write(stage, run_path, settings, tell, like)
    parity = []
    with one_at_a_time() as collect:
        for record in manifest.formats:
            for one in answers:
                if one.signature.ids != record.ids:
                    continue
                tell(f"comparing {one.signature.name} in {record.name} with eager")
                parity.append(_proven(stage, record, one, vocabularies, manifest.model, run_path))
                collect()
    del answers
    check_output_layer(stage, manifest)
    tuning = tune(stage, manifest, rates, tell) if settings.tune else None
    manifest = manifest.model_copy(update={"parity": tuple(parity), "tuning": tuning})
    write_card(stage, manifest, vocabularies)
    manifest = manifest.model_copy(update={"files": list_files(stage)})
    (stage / MANIFEST_FILE).write_text(to_json(manifest.model_dump(mode="json")), encoding="utf-8")
    return manifest


def _proven(
    stage: Path, record: FormatRecord, answers: Answers, vocabularies: Vocabularies, config: BSTConfig, run_path: Path
) -> ParityRecord:
    try:
        session = open_format(stage, record, answers.signature)
        return prove(record.name, answers, session, vocabularies, config)
    except PartedError as error:
        run = load_run(run_path)  # once more, to look for the block
        where = blocks.where_they_part(stage, record, error.signature, error.case, run)
        raise CheckError(f"{error}; {where}") from None


def _write(
    stage: Path, run_path: Path, settings: ExportSettings, tell: Tell, like: Manifest | None
) -> tuple[Manifest, Vocabularies, list[Answers], Rates]:
    """Write formats and golden vectors; give with the manifest what eager says to every case, and the rates that the
    shortlist was chosen by."""
    run = load_run(run_path)
    _require_fit(run, settings, like)
    # torch ends the whole process when the disk is full in the middle of an archive.
    copies = len(settings.formats) + 3 * ("aotinductor" in settings.formats)
    sizes = [(run_path / name).stat().st_size for name in (WEIGHTS_FILE, VOCABULARY_FILE)]
    require_space(stage, int(1.1 * copies * sizes[0]) + 8 * sizes[1] + GOLDEN_SPACE, "the bundle")
    config, vocabularies = run.config.model, run.vocabularies
    levels = {form: _level(form, settings.ids, vocabularies) for form in settings.formats}
    signatures = {
        ids: build_signatures(config, vocabularies, settings.signatures, top_k=settings.top_k, ids=ids)
        for ids in dict.fromkeys((settings.ids, *levels.values()))
    }
    draft = Manifest(
        schema_version=SCHEMA_VERSION,
        settings=settings,
        signatures=tuple(one for level in signatures.values() for one in level),
        formats=(),
        files=(),
        model=config,
        items=_facts(vocabularies.items),
        context={name: _facts(one) for name, one in vocabularies.context.items()},
        output_layer=None,
        shortlist=None,
        tuning=None,
        tolerance=TOLERANCE,
        parity=(),
        run_sha256=run_hash(run_path),
        versions=library_versions("onnx", "onnxscript", "onnxruntime"),
    )
    plan, rates = None, ZEN_4
    if "onnx" in settings.formats and "top_k" in settings.signatures and settings.shortlist:
        if settings.tune:
            tell("measuring what the operators of top_k cost here")
            rates = in_own_process(measure_rates)
        tell("choosing compact copies of the output layer")
        limit, excluding = settings.top_k.limit, settings.top_k.exclude_history
        plan = choose_shortlist(run.model, run.heldout, limit, exclude_history=excluding, rates=rates)
    records = []
    output_layer = None
    for form, ids in levels.items():
        tell(f"exporting {form}")
        (stage / form).mkdir()
        output_layer = _write_format(form, stage / form, run, signatures[ids], draft, plan) or output_layer
        records.append(_record(form, ids, stage / form, settings))
    write_vocabularies(stage, vocabularies)
    answers = []
    every = cases(config, run.heldout, settings.top_k)
    tell("asking the model, in float32 and in float64")
    for one in answer(run.model, config, vocabularies, settings, draft.signatures, every):
        stored = [golden for golden in one.golden if worth_storing(golden)]
        ids = one.signature.ids
        folder = stage / _golden_folder(ids, settings)
        write_golden(folder, one.signature, stored, onnx_layout=ids == settings.ids)
        answers.append(one)
    found = {"formats": tuple(records), "output_layer": output_layer, "shortlist": plan.record() if plan else None}
    return draft.model_copy(update=found), vocabularies, answers, rates


def _write_format(
    form: Format,
    folder: Path,
    run: Run,
    signatures: tuple[Signature, ...],
    manifest: Manifest,
    shortlist: Shortlist | None,
) -> OutputLayer | None:
    """Write the files of a format; give where the output layer lies in them, if others can read it there."""
    settings, raw = manifest.settings, signatures[0].ids == "raw"
    one_length, packed = form == "aotinductor", form == "onnx"
    scorer = Scorer(run.model, run.config.model, settings.top_k, one_length=one_length, packed=packed)
    served = ServedModel(scorer, run.vocabularies if raw else None).eval()
    metadata = _metadata(manifest, signatures)
    if form == "onnx":
        return save_onnx(
            served.scorer,
            signatures,
            run.vocabularies,
            folder,
            top_k=settings.top_k,
            opset=settings.opset,
            metadata=metadata,
            shortlist=shortlist,
        )
    if form == "torchscript":
        torchscript.save_torchscript(served, signatures, folder / torchscript.FILE, metadata=metadata)
    elif form == "pt2":
        from export.formats import pt2  # a second, for torch's compiler comes with it

        pt2.save_pt2(served, signatures, folder / "model.pt2", metadata=metadata)
    else:
        aotinductor.save_aotinductor(served, signatures, folder, cpu=settings.cpu, metadata=metadata)
    return None


def _record(form: Format, ids: Ids, folder: Path, settings: ExportSettings) -> FormatRecord:
    entries = {
        "onnx": lambda name: Entry(path=f"onnx/{name}.onnx"),
        "torchscript": lambda name: Entry(path=f"torchscript/{torchscript.FILE}", function=name),
        "pt2": lambda name: Entry(path="pt2/model.pt2", function=name),
        "aotinductor": lambda name: Entry(path=f"aotinductor/{name}.pt2"),
    }
    return FormatRecord(
        name=form,
        ids=ids,
        entries={name: entries[form](name) for name in settings.signatures},
        golden=_golden_folder(ids, settings),
        # ONNX TopK states it; torch.topk promises nothing.
        equal_scores="lower index first" if form == "onnx" else "any order",
        needs=needs_of(form, folder, settings),
    )


def _require_fit(run: Run, settings: ExportSettings, like: Manifest | None) -> None:
    count, limit = run.config.model.num_items, settings.top_k.limit
    if limit > count:
        raise InputError(f"k={limit} is not between 1 and the catalogue's {count} items; give another")
    if settings.tune and "onnx" not in settings.formats:
        raise InputError(f"tune tries ONNX Runtime, and formats={','.join(settings.formats)} lacks onnx; add it")
    if "aotinductor" in settings.formats:
        if run.config.model.padding == "counted":
            raise InputError(
                "aotinductor pads every history, and to this model (padding='counted') that matters; leave it out"
            )
        aotinductor.require_compiler()
    if like is None:
        return
    sizes, stated = _architecture(run.config.model), _architecture(like.model)
    differing = [f"{one} is {sizes[one]}, in the bundle {stated[one]}" for one in sizes if sizes[one] != stated[one]]
    known = {"item": (run.vocabularies.items, like.items)}
    known |= {name: (one, like.context[name]) for name, one in run.vocabularies.context.items() if name in like.context}
    for name, (new, old) in known.items():
        # Callers pad with that value: what it stands for may not change under them.
        pairs = ((f"dtype of {name} ids", new.dtype, old.dtype), (f"padding of {name} ids", new.padding, old.padding))
        differing += [f"{what} is {here!r}, in the bundle {there!r}" for what, here, there in pairs if here != there]
    if differing:
        raise InputError(f"the run is of another architecture than the bundle: {'; '.join(differing)}; use --out")


def _architecture(config: BSTConfig) -> dict[str, Any]:
    """What graphs are made of, and callers rely on: all but the numbers of items and categories, and dropout."""
    values = config.model_dump(mode="json", exclude={"num_items", "dropout", "init_method"})
    values["context"] = [(feature.name, feature.dim) for feature in config.context]
    return values


def _level(form: Format, ids: Ids, vocabularies: Vocabularies) -> Ids:
    tensors_only = form in ("pt2", "aotinductor")
    return "index" if tensors_only and not can_hold_raw_ids(vocabularies) else ids


def _golden_folder(ids: Ids, settings: ExportSettings) -> str:
    return "golden" if ids == settings.ids else f"golden/{ids}"


def _metadata(manifest: Manifest, signatures: tuple[Signature, ...]) -> dict[str, str]:
    """What travels inside the files themselves, for one who finds them without the manifest: JSON by name."""
    told = manifest.model_dump(mode="json", include={"settings", "model", "items", "context", "versions"})
    told["run_sha256"] = manifest.run_sha256
    told["signatures"] = [signature.model_dump(mode="json") for signature in signatures]
    return {f"bst.{name}": json.dumps(value, ensure_ascii=False) for name, value in told.items()}


def _facts(vocabulary: Vocabulary) -> VocabularyFacts:
    return VocabularyFacts(dtype=vocabulary.dtype, count=len(vocabulary), padding=vocabulary.padding)
