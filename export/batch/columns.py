"""Columns of the input: found by name, held to the dtype that the model takes, and read as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from bst.config import InputGroup
from bst.data.tables.columns import EXACT
from bst.errors import InputError
from export.batch.lists import Lists, as_array, flat
from export.batch.settings import ScoreSettings
from export.contract.inputs import Array
from export.contract.manifest import Description, VocabularyFacts
from export.sessions.users import UNKNOWN

WHAT = {
    "int64": "integers",
    "string": "text",
    "seconds": "integers (seconds since 1970) or dates",
    "numbers": "numbers",
}


@dataclass(frozen=True)
class Column:
    """A column that a batch reads.

    Attributes:
        name: in the input.
        kind: what its values or the elements of its lists are: `int64` or `string` of ids and categories, `seconds` or
            `numbers`.
        in_lists: each cell is a list.
        filling: stands for a value that is not there.
    """

    name: str
    kind: str
    in_lists: bool = False
    filling: int | str | float = 0

    def offence(self, dtype: pl.DataType) -> str:
        """Describe what is wrong with the dtype of the column; empty, if nothing is."""
        inner = dtype
        if dtype == pl.Null:  # a column without anything
            return ""
        if self.in_lists and isinstance(dtype, pl.List | pl.Array):
            inner = dtype.inner  # type: ignore[assignment]
        elif self.in_lists:
            return f"column {self.name!r} holds {dtype}, not lists of {WHAT[self.kind]}"
        if _fits(self.kind, inner) or (not self.in_lists and _is_whole(self.kind, inner)):
            return ""
        return f"column {self.name!r} holds {dtype}, not {'lists of ' * self.in_lists}{WHAT[self.kind]}"


def _fits(kind: str, dtype: pl.DataType) -> bool:
    if dtype == pl.Null:  # lists without anything
        return True
    if kind == "string":
        return dtype in (pl.String, pl.Categorical, pl.Enum)
    if kind == "seconds":
        return dtype.is_integer() or dtype in (pl.Datetime, pl.Date)
    return dtype.is_integer() or (kind == "numbers" and (dtype.is_numeric() or dtype == pl.Boolean))


def _is_whole(kind: str, dtype: pl.DataType) -> bool:
    """Return whether values may be numbers all the same: pandas writes integers with a gap as floats, folders all as
    text."""
    return kind == "int64" and (dtype.is_float() or dtype == pl.String)


def columns_of(manifest: Description, settings: ScoreSettings) -> dict[str, Column]:
    """List the columns that a batch reads, but for that of users: by the names of the model's inputs, the lists of ids
    as `history`, `candidates` and `exclude`.
    """
    items = manifest.items
    named = {"history": settings.history, "candidates": settings.candidates, "exclude": settings.exclude}
    columns = {role: Column(name, items.dtype, True, items.padding) for role, name in named.items() if name is not None}
    groups = [*manifest.model.inputs, *(manifest.model.candidate_inputs if settings.candidates is not None else ())]
    for group in groups:
        facts = manifest.vocabularies_of(group)
        for name in group.names(manifest.model):
            if name not in settings.unknown:
                columns[name] = _feature(name, group, facts.get(name))
    return columns


def _feature(name: str, group: InputGroup, facts: VocabularyFacts | None) -> Column:
    in_lists = group.of != "request"
    if facts is not None:
        return Column(name, facts.dtype, in_lists, facts.padding)
    return Column(name, group.holds, in_lists, UNKNOWN[group.holds])


def require_columns(
    schema: Mapping[str, pl.DataType], columns: Mapping[str, Column], settings: ScoreSettings, path: str
) -> None:
    """Refuse a file that lacks a column or has one of another dtype; the message lists all of them.

    Raises:
        InputError: as said.
    """
    options = {"history": "--history", "candidates": "--candidates", "exclude": "--exclude"}
    roles = {column.name: options[role] for role, column in columns.items() if role in options}
    roles[settings.user] = "--user-column"
    offences = []
    for name in (settings.user, *(column.name for column in columns.values())):
        if name not in schema:
            remedy = f"name yours with {roles[name]}" if name in roles else f"add it, or say --unknown {name}"
            offences.append(f"there is no column {name!r}: {remedy}")
    present = [column for column in columns.values() if column.name in schema]
    offences += [offence for column in present if (offence := column.offence(schema[column.name]))]
    if settings.user in schema and schema[settings.user].is_nested():
        offences.append(f"column {settings.user!r} of users holds {schema[settings.user]}, not one key a row")
    if offences:
        raise InputError(f"{path}: {'; '.join(offences)}; it has {', '.join(schema)}")


def cast(values: pl.Series, column: Column) -> pl.Series:
    """Cast values to what the model takes: Int64, String or Float32, the filling in place of nulls.

    Raises:
        InputError: a value does not fit.
    """
    if values.dtype.is_temporal():
        values = values.cast(pl.Datetime("us")).dt.epoch("s")
    if values.dtype.is_float() and column.kind != "numbers":
        values = values.fill_nan(None)
        if (values.abs() >= EXACT[type(values.dtype)]).any() or (values != values.round()).any():
            raise InputError(f"column {column.name!r} holds fractions, not {WHAT[column.kind]}")
    dtype = {"string": pl.String, "numbers": pl.Float32}.get(column.kind, pl.Int64)
    try:
        return values.cast(dtype).fill_null(column.filling)
    except pl.exceptions.PolarsError:
        other = values.filter(values.cast(dtype, strict=False).is_null() & values.is_not_null())
        raise InputError(f"column {column.name!r} holds {other[0]!r}, not {WHAT[column.kind]} of 64 bits") from None


def read_ids(values: pl.Series, column: Column) -> pl.Series:
    """Read a column of lists of ids: List of Int64 or String; nulls stay."""
    inner = pl.String if column.kind == "string" else pl.Int64
    try:
        return values.cast(pl.List(inner))
    except pl.exceptions.PolarsError:
        raise InputError(f"column {column.name!r} holds ids beyond 64 bits") from None


def read_values(values: pl.Series, column: Column) -> Array:
    """Read a column of one value a row: `[rows]`."""
    return as_array(cast(values, column))


def read_lists(values: pl.Series, column: Column, beside: Sequence[int] | Array, what: str) -> Lists:
    """Read a column of lists that has a value for each element of another column; a null is a list of unknown values.

    Args:
        beside: the lengths of the lists beside it, int64 `[rows]`; `what` names that column.

    Raises:
        InputError: a list is of another length; the message has the first row.
    """
    inner = values.dtype.inner if isinstance(values.dtype, pl.List | pl.Array) else pl.Null
    elements, lengths = flat(values.cast(pl.List(inner)))
    expected = np.asarray(beside)
    absent = values.is_null().to_numpy()
    if len(rows := np.flatnonzero((lengths != expected) & ~absent)):
        row = rows[0]
        raise InputError(
            f"column {column.name!r} has {lengths[row]} values in row {row}, and column {what!r} {expected[row]}; "
            "give one for each item"
        )
    array = as_array(cast(elements, column))
    if not absent.any():
        return Lists.of(array, lengths)
    full = np.full(int(expected.sum()), column.filling, dtype=array.dtype)
    full[np.repeat(~absent, expected)] = array
    return Lists.of(full, expected)
