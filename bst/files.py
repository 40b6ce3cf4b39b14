"""Writing so that a reader sees the old state or the new one, never something between."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bst.errors import InputError


def require_new(path: Path, what: str, option: str = "--out") -> None:
    """Refuse a `path` that exists, before any work is done for it; `option` is where the user gave it.

    Raises:
        InputError: the path exists, or its parent cannot hold it.
    """
    if path.exists() or path.is_symlink():
        raise InputError(f"{what} {path} exists; give another {option} or remove it first")
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise InputError(f"{what} {path} cannot be made: {parent} is not a writable folder; give another {option}")


@contextmanager
def staged_folder(target: Path, what: str) -> Iterator[Path]:
    """Yield an empty folder beside `target` that becomes `target` when the block ends well.

    When the block raises, the folder is removed and `target` is not there.
    """
    require_new(target, what)
    target = target.absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    with _stage(target) as stage:
        yield stage
        stage.chmod(0o755)
        require_new(target, what)  # somebody else may have been quicker
        stage.rename(target)


@contextmanager
def replaced_folder(target: Path, what: str) -> Iterator[Path]:
    """Yield an empty folder beside the folder `target`; when the block ends well, the two change places in one step.

    What was written is flushed to disk before, and the old folder is removed after. When the block raises, `target` is
    as it was.

    Raises:
        InputError: `target` is a link, or the folder it is in cannot be written.
    """
    if target.is_symlink():
        raise InputError(f"{what} {target} is a link; give the folder that it leads to")
    target = target.absolute()
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{what} {target} cannot be replaced: {target.parent} is not writable")
    with _stage(target) as stage:
        yield stage
        stage.chmod(target.stat().st_mode & 0o777)
        for path in stage.rglob("*"):
            _flush(path)
        _exchange(stage, target)


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk of `folder` cannot hold.

    Raises:
        InputError: fewer than `needed` bytes are free; the message says how many.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{what} needs about {needed / 1e6:,.0f} MB and {folder} has {free / 1e6:,.0f} MB; make room")


@contextmanager
def _stage(target: Path) -> Iterator[Path]:
    """Make a folder beside `target`, and remove whatever has its name in the end.

    It is locked while it is in use, so that nobody takes it for what a killed process has left.
    """
    remove_leftovers(target)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    lock = os.open(stage, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        os.close(lock)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(one: Path, other: Path) -> None:
    """Let two paths of one file system change names, atomically where Linux can: at no moment is either missing."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        at_cwd, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, linux/fcntl.h and linux/fs.h
        if libc.renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(number, os.strerror(number), str(other))
    # Elsewhere in steps, between which a reader may find nothing. The name is none that `remove_leftovers` removes.
    aside = other.with_name(f".{other.name}.replaced-{os.getpid()}")
    other.rename(aside)
    try:
        one.rename(other)
    except BaseException:
        aside.rename(other)
        raise
    aside.rename(one)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content` (text as UTF-8): written beside it, flushed to disk, then renamed over it.

    When that fails, `path` is as it was, and an `OSError` names it.
    """
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.partial-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say where
        raise


def remove_leftovers(target: Path) -> None:
    """Remove what writers of `target` (a folder or file), or of files in it, left half-done when they were killed."""
    beside = target.absolute().parent.glob(f".{glob.escape(target.name)}.partial-*")
    inside = target.glob(".*.partial-*") if target.is_dir() else ()
    for left in [*beside, *inside]:
        if not left.is_dir():
            left.unlink(missing_ok=True)
        elif not _in_use(left):
            shutil.rmtree(left, ignore_errors=True)


def _in_use(stage: Path) -> bool:
    """Whether a living process holds the lock of a stage."""
    try:
        handle = os.open(stage, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def read_json(path: Path, what: str) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON; the message says that `path.parent` is not `what`.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path.parent} is not {what}: {path.name} cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path.parent} is not {what}: {path.name} is not JSON ({error})") from None


def to_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
