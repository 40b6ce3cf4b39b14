"""The rules of `docs/reference/manifest.md`, by which a manifest is read.

`tests/manifests/` holds sound and spoilt manifests that readers in every language judge alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bst.config import FLOAT_BYTES, INPUT_GROUPS
from bst.errors import InputError
from bst.system.files import read_json
from bst.system.validation import validated
from export.contract.manifest import MAJOR, MANIFEST_FILE, WHAT, Manifest, VocabularyFacts
from export.contract.parity import TOLERANCE
from export.contract.signatures import OF_OUTPUT_LAYER, PROBABILITIES, Signature, TensorSpec

VERSION = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")


def read_manifest(bundle: Path) -> Manifest:
    """Read `manifest.json` of a bundle. Fields that this version does not know are ignored.

    Raises:
        InputError: the path is not a bundle, is one of another major version, or its manifest breaks a rule of
            `docs/reference/manifest.md`; all broken rules are named.
    """
    if not bundle.is_dir():
        raise InputError(f"{bundle} is not {WHAT}: there is no such folder")
    values = read_json(bundle / MANIFEST_FILE, WHAT)
    _require_major(values, bundle)
    manifest = validated(Manifest, values, str(bundle / MANIFEST_FILE), unknown="ignore")
    if broken := offences(manifest):
        raise InputError(f"{bundle / MANIFEST_FILE}: {'; '.join(broken)}; export again")
    return manifest


def _require_major(values: object, bundle: Path) -> None:
    stated_version = values.get("schema_version") if isinstance(values, dict) else None
    version = VERSION.fullmatch(stated_version) if isinstance(stated_version, str) else None
    if version is None or version[1] != MAJOR:
        raise InputError(f"{bundle}: schema_version={stated_version!r}, this version reads {MAJOR}.*; export again")


def offences(manifest: Manifest) -> list[str]:
    """List every rule that a manifest breaks, with the value; empty for a sound one."""
    rules = (_files, _formats, _signatures, _vocabularies, _model, _output_layer, _tolerance)
    return [offence for rule in rules for offence in rule(manifest)]


def _files(manifest: Manifest) -> Iterator[str]:
    listed = [record.path for record in manifest.files]
    for path in sorted(_named_files(manifest) - set(listed)):
        yield f"{path} is not among its files"
    for path in sorted(set(listed)):
        if not _is_inside(path):
            yield f"{path or repr(path)} leads out of the bundle"
        if listed.count(path) > 1:
            yield f"{path} is listed twice"
    for folder in sorted({record.golden for record in manifest.formats}):
        if folder.partition("/")[0] != "golden" or not _is_inside(folder):
            yield f"{folder or repr(folder)} is no place for golden vectors"
    if MANIFEST_FILE in listed:
        yield f"{MANIFEST_FILE} lists itself"


def _named_files(manifest: Manifest) -> set[str]:
    named = {manifest.weights}
    for record in manifest.formats:
        named |= {entry.path for entry in record.entries.values()}
    if manifest.output_layer:
        named |= {manifest.output_layer.weights.path, manifest.output_layer.biases.path}
    return named


def _is_inside(path: str) -> bool:
    return not {"", ".", ".."} & set(path.split("/")) and not set("\\:\0") & set(path)


def _formats(manifest: Manifest) -> Iterator[str]:
    if not manifest.formats or not all(record.entries for record in manifest.formats):
        yield "it holds no format or no signature"
    names = [record.name for record in manifest.formats]
    yield from (f"format {name} is there twice" for name in sorted({name for name in names if names.count(name) > 1}))
    described = {(signature.name, signature.ids) for signature in manifest.signatures}
    for record in manifest.formats:
        for name in record.entries:
            if (name, record.ids) not in described:
                yield f"{record.name} has {name}, which is not among its signatures at the level {record.ids!r}"


def _signatures(manifest: Manifest) -> Iterator[str]:
    described = [(level.name, level.ids) for level in manifest.signatures]
    for name, ids in sorted({level for level in described if described.count(level) > 1}):
        yield f"signature {name} is there twice at the level {ids!r}"
    for signature in manifest.signatures:
        if not _is_of_ids(signature):
            yield f"signature {signature.name} is no function of ids"
        if signature.takes("k") != (signature.max_k is not None):
            yield f"signature {signature.name} states max_k={signature.max_k}, which goes with an input k alone"


def _is_of_ids(signature: Signature) -> bool:
    """Return whether rows of ids go in, with tensors of ranks 1 to 3 beside them, and rows come out: numbers, with
    ids or probabilities before them or without.
    """
    axes = [axis for spec in (*signature.inputs, *signature.outputs) for axis in spec.shape]
    first, *others = signature.inputs or (None,)
    return (
        first is not None
        and first.dtype != "float32"
        and len(first.shape) == 2
        and {len(spec.shape) for spec in others} <= {1, 2, 3}
        and {len(spec.shape) for spec in signature.outputs} == {2}
        and [spec.dtype for spec in signature.outputs[-1:]] == ["float32"]
        and (len(signature.outputs) == 1 or _goes_with_scores(signature.outputs[:-1]))
        and all(axis if isinstance(axis, str) else axis >= 1 for axis in axes)
    )


def _goes_with_scores(outputs: Sequence[TensorSpec]) -> bool:
    return len(outputs) == 1 and (outputs[0].dtype == "float32") == (outputs[0].name == PROBABILITIES)


def _vocabularies(manifest: Manifest) -> Iterator[str]:
    counts = {"items": (manifest.items, manifest.model.num_items)}
    for group in INPUT_GROUPS:
        names, described = group.names(manifest.model), manifest.vocabularies_of(group)
        if group.holds == "categories" and tuple(described) != names:
            yield f"{group.name} is {', '.join(described) or 'empty'}, of the model {', '.join(names) or 'empty'}"
        categories = zip(names, group.counts(manifest.model), strict=False)
        counts |= {name: (described[name], count) for name, count in categories if name in described}
    for name, (facts, count) in counts.items():
        if facts.count != count:
            yield f"{name} counts {facts.count}, the model {count}"
    for name, (facts, _) in counts.items():
        if not _pads(facts):
            yield f"{name} is of {facts.dtype} and padded with {facts.padding!r}"


def _model(manifest: Manifest) -> Iterator[str]:
    if manifest.model.has_own_columns:
        yield "model.feature_dim or model.place_dim is not null, and fields of a bundle are added"


def _pads(facts: VocabularyFacts) -> bool:
    return isinstance(facts.padding, int if facts.dtype == "int64" else str)


def _output_layer(manifest: Manifest) -> Iterator[str]:
    """Check the place of the output layer: of this model, within its file, and proven by two signatures."""
    layer = manifest.output_layer
    if layer is None:
        return
    if not manifest.model.scores_catalogue:
        yield f"there is an output_layer, and a model of task {manifest.model.task!r} has none"
        return
    if layer.first_row not in (0, 1):
        yield f"output_layer.first_row={layer.first_row} is neither 0 nor 1"
    rows, sizes = manifest.model.num_items + layer.first_row, {record.path: record.bytes for record in manifest.files}
    for place, shape in ((layer.weights, (rows, manifest.model.user_width)), (layer.biases, (rows,))):
        if place.shape != shape:
            yield f"an output layer of {list(place.shape)} is not that of the model, {list(shape)}"
        elif place.offset < 0 or place.offset + FLOAT_BYTES * math.prod(shape) > sizes.get(place.path, 0):
            yield f"{place.path} ends before the output layer does"
    names = {signature.name for signature in manifest.signatures if signature.ids == manifest.ids}
    yield from (f"the output layer lacks {name}, which proves it" for name in OF_OUTPUT_LAYER if name not in names)


def _tolerance(manifest: Manifest) -> Iterator[str]:
    if not 0 < manifest.tolerance <= TOLERANCE:
        yield f"tolerance={manifest.tolerance} is not above 0 and at most {TOLERANCE}"
