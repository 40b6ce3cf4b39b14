"""Folders that tests share: each is built once, by the process of the test run that needs it first, for all of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


class Builds:
    """Built folders by name, in one place for all workers of pytest-xdist. Nobody may change what is in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def get(self, name: str, build: Callable[[Path], object]) -> Path:
        """Give the folder `name`; if it is not there, `build` makes it at the path that it is called with.

        Other processes that want the same one wait meanwhile. What a failed build leaves is removed by the next.
        """
        path, done = self.folder / name, self.folder / f"{name}.done"
        with FileLock(f"{path}.lock"):
            if not done.exists():  # no renaming instead: a program knows the place where it was built
                shutil.rmtree(path, ignore_errors=True)
                build(path)
                done.touch()
        return path
