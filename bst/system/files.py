"""Atomic writing: a reader sees the old state or the new one, never something between."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bst.errors import InputError

# Of files that come from elsewhere: settings, manifests and such are a thousand times smaller than the first.
TEXT_BYTES = 2**26
DATA_BYTES = 2**31  # of vocabularies, golden vectors and records
JSON_DEPTH = 64


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
    with partial_folder(target) as stage:
        yield stage
        stage.chmod(0o755)
        require_new(target, what)  # another process may have been quicker
        try:
            stage.rename(target)
        except OSError:
            require_new(target, what)
            raise


@contextmanager
def replaced_folder(target: Path, what: str) -> Iterator[Path]:
    """Yield an empty folder beside the folder `target`; when the block ends well, the two change places in one step.

    The new files are flushed to disk before, and the old folder is removed after. When the block raises, `target` is
    as it was.

    Raises:
        InputError: `target` is a link, or the folder it is in cannot be written.
    """
    if target.is_symlink():
        raise InputError(f"{what} {target} is a link; give the folder that it leads to")
    target = target.absolute()
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{what} {target} cannot be replaced: {target.parent} is not writable")
    with partial_folder(target) as stage:
        yield stage
        stage.chmod(target.stat().st_mode & 0o777)
        for path in stage.rglob("*"):
            _flush(path)
        _exchange(stage, target)


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin if the disk of `folder` has too little space.

    Raises:
        InputError: fewer than `needed` bytes are free; the message says how many.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{what} needs about {needed / 1e6:,.0f} MB and {folder} has {free / 1e6:,.0f} MB; make room")


@contextmanager
def partial_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`, and remove whatever has its name in the end."""
    stage, lock = _make_partial(target, tempfile.mkdtemp)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        os.close(lock)


def _make_partial(target: Path, make: Callable[[str | None, str, Path], str]) -> tuple[Path, int]:
    """Make a file or folder beside `target`, remove those of killed processes, and return it with the handle of its
    lock.

    It is locked until the handle is closed, so that no process takes it for a leftover of a killed one.
    """
    remove_leftovers(target, inside=False)  # a folder of that name in /tmp may be another user's
    while True:
        partial = Path(make(None, f".{target.name}.partial-", target.parent))
        with suppress(FileNotFoundError):
            lock = os.open(partial, os.O_RDONLY)
            with suppress(OSError):  # a file system without locks; there, leftovers stay
                fcntl.flock(lock, fcntl.LOCK_EX)
            if partial.exists():  # else another process removed it before it was locked
                return partial, lock
            os.close(lock)


def _make_file(suffix: str | None, prefix: str, folder: Path) -> str:
    handle, name = tempfile.mkstemp(suffix, prefix, folder)
    os.close(handle)
    return name


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exchange(path: Path, other: Path) -> None:
    """Exchange the names of two paths of one file system, atomically where Linux can: at no moment is either
    missing.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        at_cwd, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, linux/fcntl.h and linux/fs.h
        if libc.renameat2(at_cwd, os.fsencode(path), at_cwd, os.fsencode(other), exchange) == 0:
            return
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(number, os.strerror(number), str(other))
    # Elsewhere in steps, between which the folder is missing. `remove_leftovers` does not remove files of this name.
    aside = other.with_name(f".{other.name}.replaced-{os.getpid()}")
    other.rename(aside)
    try:
        path.rename(other)
    except BaseException:
        aside.rename(other)
        raise
    aside.rename(path)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content` (text as UTF-8): written beside it, flushed to disk, then renamed over it.

    When that fails, `path` is as it was, and an `OSError` names it.
    """
    data = content.encode() if isinstance(content, str) else content
    partial, lock = _make_partial(path, _make_file)
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.chmod(0o644)
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say where
        raise
    finally:
        os.close(lock)


def remove_leftovers(target: Path, inside: bool = True) -> None:
    """Remove the partial files and folders of killed writers of `target` (a folder or file), or of files `inside`
    it.
    """
    beside = target.absolute().parent.glob(f".{glob.escape(target.name)}.partial-*")
    within = target.glob(".*.partial-*") if inside and target.is_dir() and not target.is_symlink() else ()
    for leftover in [*beside, *within]:
        _remove_unused(leftover)


def _remove_unused(leftover: Path) -> None:
    """Remove a file or folder whose lock no living process holds; one that this user may not remove stays."""
    with suppress(OSError):
        handle = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink()
        finally:
            os.close(handle)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield an empty folder for temporary files, and remove it when the block ends.

    Leftovers of killed processes are removed as well.
    """
    with partial_folder(Path(tempfile.gettempdir()) / "bst-temporary") as folder:
        yield folder


@contextmanager
def alone_in(folder: Path, what: str) -> Iterator[None]:
    """Keep other processes that call this out of `folder` while the block lasts.

    Raises:
        InputError: another process is in it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not _lock_at_once(handle):
            raise InputError(f"{what} {folder} is being written by another process; wait for it, or give another --out")
        yield
    finally:
        os.close(handle)


def _lock_at_once(handle: int) -> bool:
    """Return whether the lock is free and now held, or the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    return True


def read_text(path: Path, most: int = TEXT_BYTES) -> str:
    """Read an untrusted text file in UTF-8.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no plain file, has more than `most` bytes, or is not UTF-8.
    """
    require_plain_file(path)
    if (size := path.stat().st_size) > most:
        raise ValueError(f"it has {size:,} bytes, and at most {most:,} are read")
    return path.read_text(encoding="utf-8")


def require_plain_file(path: Path) -> None:
    """Raise ValueError for a path that is no plain file, before it is opened: a pipe would never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a plain file")


def parse_json(text: str) -> Any:
    """Parse untrusted JSON.

    Raises:
        ValueError: it is not JSON (NaN and Infinity are not), or is nested deeper than `JSON_DEPTH`.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {JSON_DEPTH}") from None
    level = [value]
    for _ in range(JSON_DEPTH):
        inner = (
            nested.values() if isinstance(nested, dict) else nested
            for nested in level
            if isinstance(nested, dict | list)
        )
        level = [nested for values in inner for nested in values if isinstance(nested, dict | list)]
        if not level:
            return value
    raise ValueError(f"it is nested deeper than {JSON_DEPTH}")


def read_json(path: Path, what: str, most: int = TEXT_BYTES) -> Any:
    """Read a JSON file of at most `most` bytes.

    Raises:
        InputError: the file is missing, is larger, or is not JSON (see `parse_json`); the message says that
            `path.parent` is not `what`.
    """
    try:
        return parse_json(read_text(path, most))
    except OSError as error:
        raise InputError(f"{path.parent} is not {what}: {path.name} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path.parent} is not {what}: {path.name} is not JSON ({error})") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} stands in it")


def to_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
