"""A folder is replaced in one step, or left as it was."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from bst import InputError
from bst.files import replaced_folder


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


def test_leftovers_of_a_killed_writer_are_removed(target: Path) -> None:
    (target.parent / ".target.partial-killed").mkdir()
    with replaced_folder(target, "the bundle"):
        pass
    assert names(target.parent) == ["target"]
