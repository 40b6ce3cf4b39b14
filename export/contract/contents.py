"""The files of a bundle: which there are, whether they are those of the manifest, and whether they lie in it."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from bst.errors import CheckError, InputError
from export.contract.manifest import MANIFEST_FILE, FileRecord, Manifest


def list_files(folder: Path) -> tuple[FileRecord, ...]:
    """Record every file below `folder` but the manifest, by path."""
    return tuple(
        FileRecord(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=_sha256(path))
        for path in _files(folder)
    )


def check_files(bundle: Path, manifest: Manifest) -> None:
    """Compare the files of a bundle with its manifest.

    Raises:
        CheckError: files are missing, altered (named with both sizes or hashes), not listed, or links or pipes; all of
            them in one message.
    """
    if strange := [path for path in sorted(bundle.rglob("*")) if not _is_plain(path)]:
        named = ", ".join(path.relative_to(bundle).as_posix() for path in strange)
        raise CheckError(f"{bundle}: neither plain files nor folders: {named}; put files in their place")
    found = {path.relative_to(bundle).as_posix(): path for path in _files(bundle)}
    stated = {record.path: record for record in manifest.files}
    offences = [f"{path} is missing" for path in stated if path not in found]
    offences += [f"{path} is not in the manifest" for path in found if path not in stated]
    offences += [told for name, path in found.items() if name in stated and (told := _altered(path, stated[name]))]
    if offences:
        raise CheckError(f"{bundle}: {'; '.join(offences)}; export again or restore the files")


def require_inside(bundle: Path, manifest: Manifest) -> None:
    """Refuse a bundle of which a file that is there lies elsewhere, or has not the size that is stated.

    Raises:
        InputError: names all of them. What is missing is told by whoever needs it.
    """
    root, offences = os.path.realpath(bundle), []
    places = [record.path.split("/") for record in manifest.files]
    folders = {"/".join(parts[:depth]) for parts in places for depth in range(1, len(parts))}
    elsewhere = tuple(f"{folder}/" for folder in folders if _leads_out(root, folder))
    for record in manifest.files:
        path = f"{root}/{record.path}"
        if record.path.startswith(elsewhere) or _leads_out(root, record.path):
            offences.append(f"{record.path} leads out of the bundle")
        elif not os.path.exists(path):
            continue
        elif not os.path.isfile(path):
            offences.append(f"{record.path} is not a file")
        elif (size := os.path.getsize(path)) != record.bytes:
            offences.append(f"{record.path} has {size:,} bytes, the manifest says {record.bytes:,}")
    if offences:
        raise InputError(f"{bundle}: {'; '.join(offences)}; export again or restore the files")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST_FILE)


def _altered(path: Path, stated: FileRecord) -> str | None:
    """What differs; a file of another size, which may be endless, is not read."""
    if (size := path.stat().st_size) != stated.bytes:
        return f"{stated.path} is altered: it has {size:,} bytes, the manifest says {stated.bytes:,}"
    if (found := _sha256(path)) != stated.sha256:
        return f"{stated.path} is altered: sha256 {found}, the manifest says {stated.sha256}"
    return None


def _leads_out(root: str, path: str) -> bool:
    whole = f"{root}/{path}"
    return os.path.islink(whole) and os.path.commonpath((root, os.path.realpath(whole))) != root


def _is_plain(path: Path) -> bool:
    mode = path.lstat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
