"""A folder is replaced in one step, or left as it was."""

import ctypes
import errno
import fcntl
import os
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from bst import InputError
from bst.system.files import (
    remove_leftovers,
    replaced_folder,
    require_space,
    staged_folder,
    temporary_folder,
    write_atomically,
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").write_text("old")
    return tmp_path / "target"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("atomic", [True, False])
def test_the_new_folder_takes_the_place_of_the_old(target: Path, monkeypatch: pytest.MonkeyPatch, atomic: bool) -> None:
    if not atomic:  # a system whose C library cannot exchange names
        monkeypatch.setattr(ctypes, "CDLL", lambda name, use_errno: SimpleNamespace())
    with replaced_folder(target, "the bundle") as stage:
        (stage / "new").write_text("new")
        assert names(target) == ["old"]
    assert names(target) == ["new"]
    assert names(target.parent) == ["target"]


def test_a_failure_leaves_the_old_folder(target: Path) -> None:
    with pytest.raises(FileExistsError, match="new"), replaced_folder(target, "the bundle") as stage:
        [(stage / "new").mkdir() for _ in range(2)]
    assert names(target) == ["old"]
    assert names(target.parent) == ["target"]


def test_an_open_file_of_the_old_folder_can_still_be_read(target: Path) -> None:
    with (target / "old").open() as stream:
        with replaced_folder(target, "the bundle"):
            pass
        assert stream.read() == "old"


def test_a_link_is_refused(target: Path) -> None:
    link = target.parent / "link"
    link.symlink_to(target)
    with (
        pytest.raises(InputError, match="link is a link; give the folder that it leads to"),
        replaced_folder(link, "b"),
    ):
        pass


def test_leftovers_of_a_killed_writer_are_removed_and_the_stage_of_a_living_one_is_not(target: Path) -> None:
    (target.parent / ".target.partial-killed").mkdir()
    with replaced_folder(target, "the bundle") as first:
        (first / "first").write_text("1")
        with replaced_folder(target, "the bundle") as second:
            (second / "second").write_text("2")
            assert names(first) == ["first"]
        assert names(target) == ["second"]
    assert names(target) == ["first"]  # the last one to end
    assert names(target.parent) == ["target"]


def test_without_an_atomic_exchange_a_failure_puts_the_old_folder_back(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name, use_errno: SimpleNamespace())
    rename = Path.rename

    def failing(self: Path, other: Path) -> Path:
        if ".partial-" in self.name and other.name == "target":
            raise OSError("no")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no"), replaced_folder(target, "the bundle"):
        pass
    assert names(target) == ["old"]
    assert names(target.parent) == ["target"]


def test_too_little_space_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the bundle needs about 1,000,000,000,000 MB and .* has .* MB; make room"):
        require_space(tmp_path, 10**18, "the bundle")
    require_space(tmp_path, 1, "the bundle")


def test_what_is_being_written_is_never_taken_for_what_was_left(target: Path) -> None:
    """Also in the moment between its making and its lock."""
    done = threading.Event()

    def clear_up() -> None:
        while not done.is_set():
            remove_leftovers(target)
            remove_leftovers(target.parent / "file")

    clearing = threading.Thread(target=clear_up)
    clearing.start()
    try:
        for number in range(50):
            with replaced_folder(target, "the bundle") as stage:
                (stage / "new").write_text("new")
            write_atomically(target.parent / "file", f"{number}")
    finally:
        done.set()
        clearing.join()
    assert names(target.parent) == ["file", "target"]


def test_a_file_that_is_written_again_takes_what_a_killed_writer_left(tmp_path: Path) -> None:
    (tmp_path / ".file.partial-killed").write_text("half")
    write_atomically(tmp_path / "file", "whole")
    assert names(tmp_path) == ["file"]


def test_what_was_left_may_be_strange_and_is_not_followed(target: Path) -> None:
    os.mkfifo(target.parent / ".target.partial-pipe")
    (target.parent / ".target.partial-link").symlink_to(target)
    remove_leftovers(target)
    assert names(target) == ["old"]
    assert names(target.parent) == [".target.partial-link", "target"]


def test_without_locks_everything_works_and_what_was_left_stays(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (target.parent / ".target.partial-killed").mkdir()
    with replaced_folder(target, "the bundle") as stage:
        (stage / "new").write_text("new")
    write_atomically(target / "file", "whole")
    assert names(target) == ["file", "new"]
    assert names(target.parent) == [".target.partial-killed", "target"]


def test_of_two_that_end_in_the_same_moment_the_second_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def beaten(self: Path, other: Path) -> Path:
        other.mkdir()
        (other / "first").write_text("1")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", beaten)
    with (
        pytest.raises(InputError, match=r"the run .*run exists; give another --out"),
        staged_folder(tmp_path / "run", "the run"),
    ):
        pass
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["first"]


def test_a_temporary_folder_goes_and_takes_those_of_killed_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as first:
        killed = tmp_path / first.name.replace("partial-", "partial-killed")
        killed.mkdir()
        with temporary_folder() as second:
            assert names(tmp_path) == sorted([first.name, second.name])
    assert names(tmp_path) == []


def test_what_lies_behind_a_link_or_in_a_folder_of_another_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = tmp_path / "theirs" / ".a.partial-1"
    others.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "bst-temporary").symlink_to("theirs")
    with temporary_folder():
        pass
    remove_leftovers(tmp_path / "bst-temporary")
    assert others.exists()
