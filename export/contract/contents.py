"""The files of a bundle: their list, their uses, and their comparison with the manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path, PurePosixPath

from bst.errors import CheckError, InputError
from bst.system.text import shortened
from export.contract.manifest import MANIFEST_FILE, FileRecord, Manifest

CARD = "README.md"  # text for people, who may edit it
OLD_CARD = "README.before.md"
GOLDEN = "golden"  # the folder of the evidence, which may be left out
MISSING = "is missing"
VOLUME = ".."  # the prefix of a mounted volume's own names: `..data`, `..2026_01`


def list_files(folder: Path) -> tuple[FileRecord, ...]:
    """Record every file below `folder` but the manifest, by path."""
    return tuple(
        FileRecord(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=_sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST_FILE
    )


def check_files(bundle: Path, manifest: Manifest) -> list[str]:
    """Compare the files of a bundle with its manifest. A link counts as the file it points to.

    Programs, weights and ids must be as the manifest states them. Golden vectors too, but they may be missing. The
    card may be edited or missing. Files that the manifest does not list are left alone.

    Returns:
        A line for each difference that is allowed.

    Raises:
        CheckError: files are missing or altered (with both sizes or hashes); the message names the first of them.
    """
    offences, notes, left_out = [], [], []
    for record in manifest.files:
        difference = _difference(bundle / record.path, record)
        if difference is None or (record.path == CARD and difference == MISSING):
            continue
        if record.path == CARD:
            notes.append(f"{CARD} was edited since the export; it is text for people")
        elif difference == MISSING and record.path.startswith(f"{GOLDEN}/"):
            left_out.append(record.path)
        else:
            offences.append(f"{record.path} {difference}")
    if offences:
        raise CheckError(f"{bundle}: {shortened(offences, '; ')}; export again or restore the files")
    if left_out:
        notes.append(f"left out, and not replayed: {shortened(left_out)}")
    if strangers := _strangers(bundle, manifest):
        notes.append(f"not of the bundle, and left alone: {shortened(strangers)}")
    return notes


def require_files(bundle: Path, manifest: Manifest) -> None:
    """Refuse a bundle with a program or golden file that is no plain file or has another size than stated; or, where a
    link leads out of the bundle, another hash.

    Raises:
        InputError: the message names the first of them. A missing file is reported by the code that reads it.
    """
    root, offences = os.path.realpath(bundle), []
    for record in manifest.files:
        path = bundle / record.path
        if record.path == CARD or not path.exists():
            continue
        # Inside the bundle the size is enough here; a file that a link takes from elsewhere is hashed.
        inside = os.path.commonpath((root, os.path.realpath(path))) == root
        if inside and path.is_file() and path.stat().st_size == record.bytes:
            continue
        if difference := _difference(path, record):
            offences.append(f"{record.path} {difference}")
    if offences:
        raise InputError(f"{bundle}: {shortened(offences, '; ')}; export again or restore the files")


def keep_what_is_not_ours(bundle: Path, manifest: Manifest, target: Path) -> list[str]:
    """Copy files that the bundle does not list from `bundle` into `target`, and an edited card as `OLD_CARD`.

    Returns:
        A line for the files and one for the card, if there were any.
    """
    lines = []
    if strangers := _strangers(bundle, manifest):
        for name in (name for name in strangers if not (target / name).exists()):
            source = bundle / name
            if name.endswith("/") and not source.is_symlink():
                shutil.copytree(source, target / name, symlinks=True)
            else:
                shutil.copy2(source, target / name.rstrip("/"), follow_symlinks=False)
        lines.append(f"not of the bundle, and kept: {shortened(strangers)}")
    card = next((record for record in manifest.files if record.path == CARD), None)
    if card and _difference(bundle / CARD, card) not in (None, MISSING):
        shutil.copyfile(bundle / CARD, target / OLD_CARD)
        lines.append(f"{CARD} was edited since the last export: that text is kept as {OLD_CARD}")
    return lines


def _difference(path: Path, record: FileRecord) -> str | None:
    """Describe the difference between a file and its record. A file of another size, which may be endless, is not
    read.
    """
    if not path.is_file():
        return "is not a file" if path.exists() else MISSING
    if (size := path.stat().st_size) != record.bytes:
        return f"is altered: it has {size:,} bytes, the manifest says {record.bytes:,}"
    if (digest := _sha256(path)) != record.sha256:
        return f"is altered: sha256 {digest}, the manifest says {record.sha256}"
    return None


def _strangers(bundle: Path, manifest: Manifest) -> list[str]:
    """List the files that the manifest does not; a folder that holds nothing of the bundle once, with a trailing
    slash.
    """
    listed = {MANIFEST_FILE, *(record.path for record in manifest.files)}
    folders = {parent.as_posix() for path in listed for parent in PurePosixPath(path).parents}
    strangers: set[str] = set()
    for folder, inner, files in os.walk(bundle):  # it follows no link
        place = Path(folder).relative_to(bundle)
        inner[:] = [name for name in inner if not name.startswith(VOLUME)]
        paths = [(place / name).as_posix() for name in inner]
        strangers.update(f"{path}/" for path in paths if path not in folders)
        inner[:] = [name for name, path in zip(inner, paths, strict=True) if path in folders]
        paths = [(place / name).as_posix() for name in files if not name.startswith(VOLUME)]
        strangers.update(path for path in paths if path not in listed)
    return sorted(strangers)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
