"""Quotes in text: which rows go over several lines, and which quotes are refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bst import DataConfig, InputError, read_interactions
from bst.data.tables.sources.quotes import rows_over_lines

HEADER = "user_id,item_id,timestamp,note\n"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "events.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "spans"),
    [
        ('1,"a",2\n"1","x ""y""","z, w"\n', []),
        ('1,the "best" one,2\n1,"C:\\",2\n', []),
        ('\ufeff"user","item"\r\n"1","2"\r\n', []),
        ('1,"a\nb",2\n3,c,4\n5,"d\n\ne"\n', [(1, 2), (4, 6)]),
        ('1,"a ""q\nb"" c",2\n', [(1, 2)]),
    ],
)
def test_rows_over_several_lines_are_found_and_well_quoted_ones_are_none(
    tmp_path: Path, content: str, spans: list[tuple[int, int]]
) -> None:
    assert rows_over_lines(write(tmp_path, content), ",", "") == spans
    assert rows_over_lines(write(tmp_path, gzip.compress(content.encode())), ",", "") == spans


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            '1,5,1,5" disc\n',
            "line 2 has a quote within the field '5\" disc'; quotes stand around a whole field, without",
        ),
        (
            '1,5,1,x\n1,5,1,"Best" of\n',
            "line 3 has text after a closing quote: ' of'; quotes stand around a whole field",
        ),
        ('1,5,1, "a, b"\n', "line 2 has a blank before the quote of ' \"a'; quotes stand around"),
        ('1,5,1,"a\n1,6,2,"b"\n', "the quote of line 2 ends in line 3, which has text after a closing quote: 'b\"'"),
        ('1,5,1,"it \\"em\\" 4"\n', "line 2 has .* within a quoted field, as Spark writes it; .*as two"),
        ('1,5,1,"a\\""\n1,6,2,"b\\""\n', "line 2 has .* within a quoted field, as Spark writes it"),
        ('1,5,1,"a\n', "line 2 opens a quote .* that no line closes; close it, or leave it out"),
    ],
)
def test_quotes_that_stand_for_nothing_are_refused_with_their_line(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_interactions(write(tmp_path, HEADER + rows), DataConfig())


def test_windows_1252_is_told_by_all_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,timestamp\n1,café,1\n1,5€,2\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"line 2 is not UTF-8; .*, in WINDOWS-1252, say: iconv -f WINDOWS-1252"):
        read_interactions(path, DataConfig())
