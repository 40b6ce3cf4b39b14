"""The manifest: the content of a bundle, for programs in any language. `manifest.json` has this shape."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from bst.config import BSTConfig, Frozen, InputGroup
from bst.data.vocabulary import Vocabulary
from bst.errors import InputError
from bst.system.validation import json_schema
from export.contract.choices import ShortlistRecord, Tuning
from export.contract.model_signatures import require_signatures
from export.contract.quality import ClickQuality, Quality
from export.contract.settings import ORT_DEFAULTS, ExportSettings, SessionOptions
from export.contract.signatures import SIGNATURES, Ids, Signature

SCHEMA_VERSION = "4.7"  # another major is refused; a later minor adds fields, which are ignored
MANIFEST_FILE = "manifest.json"
MAJOR = SCHEMA_VERSION.partition(".")[0]
WHAT = "a bundle (a folder that `bst export` writes)"


class FileRecord(Frozen):
    """A file of the bundle; `path` is relative to it, with forward slashes."""

    path: str
    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class VocabularyFacts(Frozen):
    """Facts of a vocabulary that a caller needs.

    Attributes:
        padding: the id of empty slots of a history.
        named: whether `vocabulary.json` has names for them, for people.
    """

    dtype: Literal["int64", "string"]
    count: int
    padding: int | str
    named: bool = False

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> VocabularyFacts:
        """Return what a caller must know of `vocabulary`."""
        named = vocabulary.names is not None
        return cls(dtype=vocabulary.dtype, count=len(vocabulary), padding=vocabulary.padding, named=named)


class Entry(Frozen):
    """The place of a signature: a file of the bundle, and the name in it where it holds several."""

    path: str
    function: str | None = None


class TensorPlace(Frozen):
    """A float32 tensor, little-endian and row by row, from `offset` of a file of the bundle on."""

    path: str
    offset: int
    shape: tuple[int, ...]


class OutputLayer(Frozen):
    """The place of the vectors that a user vector is multiplied with, for an index of one's own.

    The score of the item with index j + 1 is the product of the user vector with row `first_row + j` of `weights`, plus
    that entry of `biases`.
    """

    weights: TensorPlace
    biases: TensorPlace
    first_row: int


class Needs(Frozen):
    """The needs of a format on the machine that runs it.

    Attributes:
        versions: of the files' own formats: opset, IR, schema.
        made_with: the libraries that wrote them. Later ones should read them; earlier ones were not tried.
        at_least: the lowest version of a library, where that is known.
        machine: `x86_64` where machine code is inside, with `cpu_flags` as Linux names them.
        remarks: caveats for people who build on it.
    """

    versions: dict[str, str]
    made_with: dict[str, str]
    at_least: dict[str, str] = Field(default_factory=dict)
    machine: str | None = None
    cpu_flags: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class FormatRecord(Frozen):
    """One format of the bundle: its entries by signature, with ids as they can go in and out of it.

    `golden` is the folder of the golden vectors at that level; `equal_scores` is the order of items of equal scores in
    `top_k`.
    """

    name: str
    ids: Ids
    entries: dict[str, Entry]
    golden: str
    equal_scores: Literal["lower index first", "any order"]
    needs: Needs


PARITY_HEADS = (
    *("format", "signature", "calls", "rows", "max error", "(eager to f64)", "adds"),
    *("alone", "padded", "permuted", "tied swaps"),
)


class ParityRecord(Frozen):
    """The error of one signature in one format against eager float32, over `cases` calls with `rows` rows together.

    Errors are the largest |difference| divided by the largest |score| (or component of the user vector) of the same
    call, or by the golden `largest_score` where that is more (docs/reference/bundle.md). `swaps` counts places of a
    ranking where ids differ because two scores are equal within the tolerance.

    Attributes:
        max_error: against eager float32.
        error_to_float64: against the same weights run in float64.
        eager_error_to_float64: that of eager float32 itself; the rest is added by the format.
        alone: of a row in a call of its own, against the same row in a batch, in the same format.
        more_padding: of a history with more padding in front, against the one without; None if padding counts.
        permuted: of candidates in another order, against the first order.
    """

    format: str
    signature: str
    cases: int
    rows: int
    max_error: float
    error_to_float64: float
    eager_error_to_float64: float
    swaps: int
    alone: float
    more_padding: float | None = None
    permuted: float | None = None

    @property
    def adds(self) -> float:
        """The part of the error against float64 that eager float32 does not have."""
        return max(0.0, self.error_to_float64 - self.eager_error_to_float64)

    def cells(self) -> tuple[str, ...]:
        """Write the record as text under `PARITY_HEADS`."""
        same = (self.alone, self.more_padding, self.permuted)
        errors = (self.max_error, self.eager_error_to_float64, self.adds, *same)
        numbers = ("" if value is None else f"{value:.1e}" for value in errors)
        return self.format, self.signature, str(self.cases), str(self.rows), *numbers, str(self.swaps)


class HistoryRecord(Frozen):
    """How often a click model computes the history in a call: `once` for all candidates, or for each; and why."""

    once: bool
    reason: str

    @classmethod
    def of(cls, model: BSTConfig) -> HistoryRecord | None:
        """Return that of a model; None, if it is no click model."""
        if model.scores_catalogue:
            return None
        if not model.history_once:
            return cls(once=False, reason=f"with mask={model.mask!r}, states that are read depend on the candidate")
        causal = "the mask is causal, so no state of the history depends on a candidate"
        one_block = "the only block is read at the candidate, and the inputs of the history do not depend on it"
        return cls(once=True, reason=causal if model.mask == "causal" else one_block)


class Description(Frozen):
    """The content of `manifest.json` but for the list of files.

    Attributes:
        schema_version: `major.minor`.
        settings: those of the export. A format that cannot hold text ids is at index level all the same.
        signatures: all of them at the level of `settings.ids`, then again at index level if a format is at that level.
        formats: the entries of each, and its needs.
        items, context, events, candidate_features: the vocabularies of the items, of the context features, and of the
            features of events and of candidates.
        weights: the file of the model's plain weights, as safetensors: the eager backend reads them.
        output_layer: its place in the ONNX weights; None without them, or without the signatures that prove it.
        shortlist: the compact copies that `top_k` in ONNX reads first; None if it reads the whole output layer.
        tuning: advised session options, where they were measured (`bst export --tune`).
        quality: None of click models, if the run came without test data, and in bundles before 4.1.
        click_quality: likewise of click models, from 4.5 on.
        history: of click models: whether the history is computed once for all candidates of a call.
        item_features: names of the features and numbers of items that the model learnt from. They are no inputs: what
            they say is part of the tables. Empty in bundles before 4.7.
        run_sha256: over the files of the run that decide the answers.
    """

    schema_version: str
    settings: ExportSettings
    signatures: tuple[Signature, ...]
    formats: tuple[FormatRecord, ...]
    model: BSTConfig
    items: VocabularyFacts
    context: dict[str, VocabularyFacts]
    events: dict[str, VocabularyFacts] = Field(default_factory=dict)
    candidate_features: dict[str, VocabularyFacts] = Field(default_factory=dict)
    weights: str
    output_layer: OutputLayer | None
    shortlist: ShortlistRecord | None
    tuning: Tuning | None
    tolerance: float
    parity: tuple[ParityRecord, ...]
    quality: Quality | None = None
    click_quality: ClickQuality | None = None
    history: HistoryRecord | None = None
    item_features: tuple[str, ...] = ()
    run_sha256: str
    versions: dict[str, str]

    @property
    def session_options(self) -> SessionOptions:
        """The advised options, or ONNX Runtime's defaults."""
        return self.tuning.options if self.tuning else ORT_DEFAULTS

    @property
    def ids(self) -> Ids:
        return self.settings.ids

    def vocabularies_of(self, group: InputGroup) -> dict[str, VocabularyFacts]:
        """Return those of the inputs of a group, by name; none where it holds neither categories nor items."""
        if group.holds == "items":
            return {group.name: self.items}
        categories = {"context": self.context, "events": self.events, "candidate_features": self.candidate_features}
        return categories.get(group.name, {})

    @property
    def format_names(self) -> tuple[str, ...]:
        return tuple(record.name for record in self.formats)

    def format(self, name: str) -> FormatRecord:
        """Find a format.

        Raises:
            InputError: the bundle does not hold it; the message lists those it holds.
        """
        for record in self.formats:
            if record.name == name:
                return record
        raise InputError(f"format {name!r} is not in the bundle; it holds {', '.join(self.format_names)}")

    def signature(self, name: str, ids: Ids | None = None) -> Signature:
        """Find a signature, at the level of the bundle if `ids` does not say another.

        Raises:
            InputError: the bundle does not have it; the message lists those it has, or says why its model has none of
                that name.
        """
        level = ids or self.ids
        for signature in self.signatures:
            if (signature.name, signature.ids) == (name, level):
                return signature
        if name in SIGNATURES:
            require_signatures([name], self.model, "ask for")
        names = ", ".join(signature.name for signature in self.signatures if signature.ids == level)
        raise InputError(f"signature {name!r} is not in the bundle; known: {names}")

    def main_signature(self, ids: Ids | None = None) -> Signature:
        """Return the signature that examples and measurements call: `top_k` if it is there, else the first."""
        names = self.settings.signatures
        return self.signature("top_k" if "top_k" in names else names[0], ids)

    def signatures_of(self, record: FormatRecord) -> tuple[Signature, ...]:
        return tuple(self.signature(name, record.ids) for name in record.entries)


class Manifest(Description):
    """The content of `manifest.json`; `files` are all of the bundle but itself."""

    files: tuple[FileRecord, ...]


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema of `manifest.json`, as `docs/reference/manifest.schema.json` publishes it."""
    schema = json_schema(Manifest, "manifest.json of a bst bundle", SCHEMA_VERSION)
    schema["properties"]["schema_version"] = {"type": "string", "pattern": rf"^{MAJOR}\.(0|[1-9][0-9]*)$"}
    for kind in (schema, *schema["$defs"].values()):
        kind.pop("additionalProperties", None)  # a later minor has more fields, which readers ignore
    return schema
