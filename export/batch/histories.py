"""Histories as of a time, made of a table of events: a row a user, as a batch takes it."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bst.config import EVENT_TIME, REQUEST_TIME, DataConfig
from bst.data.interactions import Interactions, read_interactions
from bst.data.tables.columns import INTEGER
from bst.data.tables.times import read_times, to_seconds
from bst.errors import InputError
from bst.system.files import write_atomically
from bst.system.validation import validated
from export.batch.plan import MADE_USERS, PLAN_FILE, Events, read_plan, require_output
from export.batch.settings import ScoreSettings
from export.contract.manifest import Description


@dataclass(frozen=True)
class Grouped:
    """Users with events before the time, and lines for people on how the table was read."""

    users: pl.DataFrame
    remarks: tuple[str, ...]


def group_events(events: Events, users: Path | None, settings: ScoreSettings, manifest: Description) -> Grouped:
    """Make a row of each user who has an event before the time: the history, what the model reads beside it, and
    `request_time`, where it reads times. The table is held in memory.

    Args:
        users: the users' table, which has the features and numbers of the request.

    Raises:
        InputError: a table cannot be read, or lacks a column; no event is before the time.
    """
    if settings.candidates is not None or settings.exclude is not None:
        raise InputError("--candidates and --exclude are of users, and --from-events makes the users; leave out one")
    model = manifest.model
    timed = model.event_times != "none"
    left_out = set(settings.unknown)
    context, features, numbers = (
        tuple(named.name for named in group if named.name not in left_out)
        for group in (model.context, model.event_features, model.numbers)
    )
    if users is None and (context or numbers):
        names = ",".join((*context, *numbers))
        raise InputError(
            f"the model reads {names} of a user; give the users' table after the bundle, or --unknown {names}"
        )
    config = validated(
        DataConfig,
        {
            **{"user_column": settings.user, "item_column": events.item, "time_column": events.time},
            **{"time_format": events.time_format, "split_at": events.as_of},
            **{"context": context, "numbers": numbers, "event_features": features},
        },
        "--from-events",
    )
    try:
        text = manifest.items.dtype == "string"
        read = read_interactions(Path(events.path), config, users, text_items=text, times=timed)
    except InputError as error:
        raise InputError(str(error).replace("--split-at", "--as-of")) from None
    if per_event := [name for name in read.event_context if name in (*context, *numbers)]:
        names = ",".join(per_event)
        raise InputError(
            f"{names} changes by event and is not known of a request; give a users' table with it, or --unknown {names}"
        )
    return Grouped(_rows(read, settings, features, _seconds(events) if timed else None), read.facts.remarks)


def _rows(
    read: Interactions, settings: ScoreSettings, features: tuple[str, ...], request_time: int | None
) -> pl.DataFrame:
    assert read.earlier is not None
    counts = read.events["user"].rle().struct.field("len").to_numpy().astype(np.int64)
    earlier = read.earlier.counts
    place = np.arange(len(read.events)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = [read.events["user"], read.events["item"].alias(settings.history)]
    columns += [read.events[name] for name in features]
    if request_time is not None and read.times is not None:
        columns.append(read.times.alias(EVENT_TIME))
    before = pl.DataFrame(columns).filter(pl.Series(place < np.repeat(earlier, counts)))
    if before.is_empty():
        raise InputError(f"no event is before --as-of {read.earlier.time}; give a later time")
    rows = before.group_by("user", maintain_order=True).agg(pl.all()).join(read.users, on="user", maintain_order="left")
    if request_time is not None:
        rows = rows.with_columns(pl.lit(request_time, dtype=pl.Int64).alias(REQUEST_TIME))
    return rows.rename({"user": settings.user})


def _seconds(events: Events) -> int:
    """Read the time as seconds since 1970."""
    where = Path("--as-of")
    number = re.fullmatch(INTEGER, events.as_of)
    column = pl.Series("as_of", [int(events.as_of) if number else events.as_of])
    times, _ = to_seconds(read_times(column, where, None if number else events.time_format), where, "--as-of")
    return int(times[0])


@contextmanager
def written_users(out: Path, users: pl.DataFrame) -> Iterator[Path]:
    """Write users into an output while the block scores them, as a file whose name follows from its content. It stays
    if the plan of the output names it.

    Raises:
        InputError: the folder holds something else.
    """
    require_output(out)
    stream = io.BytesIO()
    users.write_parquet(stream)
    content = stream.getvalue()
    path = out / MADE_USERS / f"users-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not path.exists():
            write_atomically(path, content)
        yield path
    finally:
        is_planned = (out / PLAN_FILE).exists()
        if not is_planned or read_plan(out).input != str(path.absolute()):
            path.unlink(missing_ok=True)
        if not is_planned:
            with suppress(OSError):  # what else is in it stays
                path.parent.rmdir()
                out.rmdir()
