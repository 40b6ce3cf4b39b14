"""Histories as of a time, made of a table of events of any size: a row a user, as a batch takes it."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bst.config import EVENT_TIME, REQUEST_TIME, DataConfig
from bst.data.interactions import is_before, seconds_of
from bst.data.prepared.columns import Columns
from bst.data.prepared.folder import refuse_prepared
from bst.data.prepared.sorting import open_columns, sort_events
from bst.data.tables.columns import INTEGER
from bst.data.tables.times import read_times, to_seconds
from bst.data.users import names_of_users
from bst.errors import InputError
from bst.system.files import partial_folder, write_atomically
from bst.system.validation import validated
from export.batch.plan import MADE_USERS, PLAN_FILE, Events, read_plan, require_output
from export.batch.settings import UNIT_ROWS, ScoreSettings
from export.contract.manifest import Description


@dataclass(frozen=True)
class MadeUsers:
    """Users with events before the time: a folder of Parquet files, and lines for people on how the table was read."""

    path: Path
    remarks: tuple[str, ...]


@contextmanager
def made_users(
    out: Path, events: Events, users: Path | None, settings: ScoreSettings, manifest: Description
) -> Iterator[MadeUsers]:
    """Make users of events inside an output, and keep them while the block scores them. They stay if the plan of the
    output names them: the name of their folder follows from their content.

    A row is a user who has an event before the time: the history, what the model reads beside it, and `request_time`,
    where it reads times. Memory and disk hold what `bst.data.prepared.sorting.sort_events` says.

    Args:
        users: the users' table, which has the features and numbers of the request.

    Raises:
        InputError: a table cannot be read, or lacks a column; no event is before the time; the folder holds something
            else.
        OSError: the disk is full.
    """
    with _as_of():
        columns = _open(events, users, settings, manifest)
    require_output(out)
    folder = out / MADE_USERS
    folder.mkdir(parents=True, exist_ok=True)
    path: Path | None = None
    try:
        with partial_folder(folder / "users") as stage, _as_of():
            digest, remarks = _write(columns, settings, manifest, events, stage)
            path = folder / f"users-{digest}"
            try:
                (stage / "parts").rename(path)
            except OSError:  # they were made before
                if not path.is_dir():
                    raise
        yield MadeUsers(path, remarks)
    finally:
        is_planned = (out / PLAN_FILE).exists()
        if path is not None and not (is_planned and read_plan(out).input == str(path.absolute())):
            shutil.rmtree(path, ignore_errors=True)
        if not is_planned:
            with suppress(OSError):  # what else is in it stays
                folder.rmdir()
                out.rmdir()


@contextmanager
def _as_of() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(str(error).replace("--split-at", "--as-of")) from None


def _open(events: Events, users: Path | None, settings: ScoreSettings, manifest: Description) -> Columns:
    if settings.candidates is not None or settings.exclude is not None:
        raise InputError("--candidates and --exclude are of users, and --from-events makes the users; leave out one")
    model = manifest.model
    context, features, numbers = (
        tuple(named.name for named in group if named.name not in settings.unknown)
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
    refuse_prepared(Path(events.path), "--from-events")
    columns = open_columns([Path(events.path)], config, users, text_items=manifest.items.dtype == "string")
    of_users = names_of_users(columns.users_table, config)
    if per_event := [name for name in (*context, *numbers) if name not in of_users]:
        names = ",".join(per_event)
        raise InputError(
            f"{names} changes by event and is not known of a request; give a users' table with it, or --unknown {names}"
        )
    return columns


def _write(
    columns: Columns, settings: ScoreSettings, manifest: Description, events: Events, stage: Path
) -> tuple[str, tuple[str, ...]]:
    """Write the users as files of `stage/parts`; return a hash of them and lines on how the table was read."""
    parts, digest, num_users, num_parts = stage / "parts", hashlib.sha256(), 0, 0
    parts.mkdir()
    reads_times = manifest.model.reads_times
    request_time = _seconds(events) if reads_times else None
    sorted_events = sort_events(columns, stage)
    path, time_column = columns.path, columns.config.time_column
    if manifest.items.dtype != "string" and columns.dtypes["item"] == pl.String:
        raise InputError(
            f"{path}: column {events.item!r} holds text, and the ids of the model's items are whole numbers; give "
            "events of its items"
        )
    by_place = columns.opened.by_place
    clock = [seconds_of(None if by_place else columns.reach, path, time_column)[1]] if reads_times else []
    for stretch in sorted_events.stretches():
        num_users += stretch["user"].n_unique()
        rows = _rows(stretch, columns, settings.history, request_time)
        if rows.is_empty():
            continue
        stream = io.BytesIO()
        rows.rename({"user": settings.user}).write_parquet(stream, row_group_size=UNIT_ROWS)
        content = stream.getvalue()
        write_atomically(parts / f"part-{num_parts:05}.parquet", content)
        digest.update(hashlib.sha256(content).digest())
        num_parts += 1
    sorted_events.runs.remove()
    if not num_parts:
        raise InputError(f"no event is before --as-of {events.as_of}; give a later time")
    of_users = columns.users.remarks(num_users) if columns.users else []
    return digest.hexdigest()[:16], (*sorted_events.facts.remarks, *of_users, *clock)


def _rows(stretch: pl.DataFrame, columns: Columns, history: str, request_time: int | None) -> pl.DataFrame:
    """Make rows of the events of some users, sorted by user and time."""
    config = columns.config
    assert config.split_at is not None
    if request_time is not None:
        seconds, _ = to_seconds(stretch["time"], columns.path, config.time_column)
        stretch = stretch.with_columns(seconds.alias(EVENT_TIME))
    before = stretch.filter(is_before(stretch["time"], config.split_at, config.time_format))
    lists = [pl.col("item").alias(history), *map(pl.col, config.event_features)]
    if request_time is not None:
        lists.append(pl.col(EVENT_TIME))
    rows = before.group_by("user", maintain_order=True).agg(lists)
    if columns.users:
        rows = columns.users.joined(rows)
    if request_time is not None:
        rows = rows.with_columns(pl.lit(request_time, dtype=pl.Int64).alias(REQUEST_TIME))
    return rows


def _seconds(events: Events) -> int:
    """Read the time as seconds since 1970."""
    where = Path("--as-of")
    number = re.fullmatch(INTEGER, events.as_of)
    column = pl.Series("as_of", [int(events.as_of) if number else events.as_of])
    times, _ = to_seconds(read_times(column, where, None if number else events.time_format), where, "--as-of")
    return int(times[0])
