"""The manifest: what a bundle holds, for programs in any language. `manifest.json` has this shape."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from bst.config import BSTConfig, Frozen
from bst.errors import CheckError, InputError
from bst.files import read_json
from bst.validation import validated
from export.signatures import Ids, Signature

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
WHAT = "a bundle (a folder that `bst export` writes)"

Format = Literal["onnx", "torchscript"]
FORMATS: tuple[Format, ...] = ("onnx", "torchscript")


class FileRecord(Frozen):
    """A file of the bundle; `path` is relative to it, with forward slashes."""

    path: str
    bytes: int
    sha256: str


class VocabularyFacts(Frozen):
    """What a caller must know of raw ids. `padding` fills the slots of a history that hold nothing."""

    dtype: Literal["int64", "string"]
    count: int
    padding: int | str


class ParityRecord(Frozen):
    """How close one signature in one format came to eager float32, over `cases` calls with `rows` rows together.

    Errors are the largest |difference| divided by the largest |score| of the same call. `error_to_float64` measures
    against the same weights run in float64, `eager_error_to_float64` is what eager float32 has there itself.
    `swaps` counts places of the best ten (or k) where ids differ because two scores are equal within the tolerance.
    """

    format: Format
    signature: str
    cases: int
    rows: int
    max_error: float
    error_to_float64: float
    eager_error_to_float64: float
    swaps: int


class Manifest(Frozen):
    """The content of `manifest.json`."""

    schema_version: int
    ids: Ids
    signatures: tuple[Signature, ...]
    formats: tuple[Format, ...]
    files: tuple[FileRecord, ...]
    model: BSTConfig
    items: VocabularyFacts
    context: dict[str, VocabularyFacts]
    tolerance: float
    parity: tuple[ParityRecord, ...]
    opset: int
    run_sha256: str
    versions: dict[str, str]

    def signature(self, name: str) -> Signature:
        """Find a signature.

        Raises:
            InputError: the bundle does not have it; the message lists those it has.
        """
        for signature in self.signatures:
            if signature.name == name:
                return signature
        known = ", ".join(signature.name for signature in self.signatures)
        raise InputError(f"signature {name!r} is not in the bundle; known: {known}")


def read_manifest(bundle: Path) -> Manifest:
    """Read `manifest.json` of a bundle.

    Raises:
        InputError: the path is not a bundle, or one of a schema that this version does not read.
    """
    if not bundle.is_dir():
        raise InputError(f"{bundle} is not {WHAT}: there is no such folder")
    values = read_json(bundle / MANIFEST_FILE, WHAT)
    found = values.get("schema_version") if isinstance(values, dict) else None
    if found != SCHEMA_VERSION:
        raise InputError(f"{bundle}: schema_version={found!r}, this version reads {SCHEMA_VERSION}; export again")
    return validated(Manifest, values, str(bundle / MANIFEST_FILE))


def list_files(folder: Path) -> tuple[FileRecord, ...]:
    """Record every file below `folder` but the manifest, by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
    return tuple(
        FileRecord(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=_sha256(path))
        for path in paths
    )


def check_files(bundle: Path, manifest: Manifest) -> None:
    """Compare the files of a bundle with its manifest.

    Raises:
        CheckError: files are missing, altered (named with both hashes) or not listed; all of them in one message.
    """
    found = {record.path: record for record in list_files(bundle)}
    stated = {record.path: record for record in manifest.files}
    offences = [f"{path} is missing" for path in stated if path not in found]
    offences += [f"{path} is not in the manifest" for path in found if path not in stated]
    offences += [
        f"{path} is altered: sha256 {found[path].sha256}, the manifest says {record.sha256}"
        for path, record in stated.items()
        if path in found and found[path] != record
    ]
    if offences:
        raise CheckError(f"{bundle}: {'; '.join(offences)}; export again or restore the files")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
