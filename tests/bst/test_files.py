"""A folder is replaced in one step, or left as it was."""

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from bst import InputError
from bst.files import replaced_folder, require_space


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
