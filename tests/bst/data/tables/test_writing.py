"""Errors of writing what a table holds are told as such, not as errors of the table."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest

from bst.data.tables.sources.source import Layout
from bst.data.tables.table import Table
from tests.conftest import fill, mounted

COLUMNS = ("user", "item")


@pytest.fixture
def table(tmp_path: Path) -> Table:
    pl.DataFrame({"user": range(200_000), "item": range(200_000)}).write_parquet(tmp_path / "table.parquet")
    return Table(tmp_path / "table.parquet", Layout(COLUMNS))


def refused(table: Table, path: Path, number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        table.write(table.rows(COLUMNS), COLUMNS, path)
    assert caught.value.errno == number


@contextmanager
def another_user(folder: Path) -> Iterator[None]:
    """Be someone who may not write into `folder`."""
    if os.geteuid():
        folder.chmod(0o500)
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_that_may_not_be_written_is_named(table: Table, tmp_path: Path) -> None:
    folder, rows = tmp_path / "folder", table.rows(COLUMNS)
    folder.mkdir()
    with another_user(folder), pytest.raises(PermissionError, match=r"Permission denied: '.*rows\.arrow'"):
        table.write(rows, COLUMNS, folder / "rows.arrow")


def test_a_folder_that_is_missing_is_named(table: Table, tmp_path: Path) -> None:
    refused(table, tmp_path / "no" / "rows.arrow", errno.ENOENT)


def test_a_read_only_disk_is_no_problem_of_the_table(table: Table, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", "ro"):
        refused(table, tmp_path / "disk" / "rows.arrow", errno.EROFS)


def test_a_full_disk_is_no_problem_of_the_table(table: Table, small_disk: Path) -> None:
    fill(small_disk / "filler")
    (small_disk / "rows.arrow").touch()
    refused(table, small_disk / "rows.arrow", errno.ENOSPC)


def test_a_file_beyond_the_limit_is_no_problem_of_the_table(table: Table, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        refused(table, tmp_path / "rows.arrow", errno.EFBIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
