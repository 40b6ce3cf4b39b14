"""DataFrames: a table that a program holds in memory, of polars, of pandas, or of a library that speaks Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from bst.data.tables.sources.source import Layout, Source, stripped
from bst.errors import InputError


class DataFrame(Protocol):
    """What a DataFrame of any library has."""

    @property
    def columns(self) -> Any: ...


@dataclass(frozen=True, eq=False)
class Frame:
    """A DataFrame beside the name that messages have for it."""

    data: DataFrame
    name: str


def place_of(table: Path | str | DataFrame, name: str) -> Path | Frame:
    """Take text for a path, and what is no path for a DataFrame with a name for messages."""
    return Path(table) if isinstance(table, Path | str) else Frame(table, name)


def open_frame(frame: Frame, layout: Layout) -> Source:
    """Look at a DataFrame. Of pandas, only the columns in `layout.needed` are converted.

    Raises:
        InputError: it is no DataFrame, or a column that is needed holds values of several types.
    """
    data: Any = frame.data
    if hasattr(data, "iloc"):  # pandas, which need not be installed here, nor pyarrow beside it
        columns = list(_columns_of_pandas(data))
        names, remarks = stripped([name for name, _ in columns])
        needed = {name: column for name, (_, column) in zip(names, columns, strict=True) if name in layout.needed}
        rows = pl.LazyFrame([_series(name, column, frame.name) for name, column in needed.items()])
        return Source(tuple(names), rows, is_text=False, remarks=remarks)
    if not isinstance(data, pl.LazyFrame):
        if not hasattr(data, "__arrow_c_stream__"):
            raise InputError(
                f"{frame.name} is a {type(data).__name__}; give a path, or a DataFrame of polars or pandas"
            )
        data = pl.DataFrame(data).lazy()
    own = data.collect_schema().names()
    names, remarks = stripped(own)
    if len(set(names)) < len(names):
        names, remarks = own, ()
    return Source(tuple(names), data.rename(dict(zip(own, names, strict=True))), is_text=False, remarks=remarks)


def _columns_of_pandas(data: Any) -> Iterator[tuple[str, Any]]:
    """List the columns, and then the levels of the index that have a name which no column has."""
    for place, name in enumerate(data.columns):
        yield str(name), data.iloc[:, place]
    for level, name in enumerate(data.index.names):
        if name is not None and name not in data.columns:
            yield str(name), data.index.get_level_values(level)


def _series(name: str, column: Any, table: str) -> pl.Series:
    """Convert a column of pandas: numbers and times by numpy, the rest value by value."""
    dtype, kind = column.dtype, getattr(column.dtype, "kind", "O")
    if kind == "M":
        unit = np.datetime_data(dtype)[0] if isinstance(dtype, np.dtype) else getattr(dtype, "unit", "ns")
        return pl.Series(name, column.to_numpy(dtype=f"datetime64[{'ms' if unit == 's' else unit}]"))  # in UTC
    if kind in "iufb" and isinstance(dtype, np.dtype):
        return pl.Series(name, column.to_numpy())
    values, missing = column.tolist(), column.isna().tolist()
    try:
        return pl.Series(name, [None if absent else value for value, absent in zip(values, missing, strict=True)])
    except (TypeError, pl.exceptions.PolarsError):
        types = sorted({type(value).__name__ for value, absent in zip(values, missing, strict=True) if not absent})
        raise InputError(
            f"{table}: column {name!r} holds values of several types ({', '.join(types)}); "
            f"make text of all: frame[{name!r}].astype(str)"
        ) from None
