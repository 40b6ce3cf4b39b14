"""The whole of a batch: files become units, an engine scores those that are not there yet, `_SUCCESS` comes last."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from bst.errors import InputError
from bst.system.console import Tell
from bst.system.files import remove_leftovers, require_new
from export.batch.columns import columns_of, require_columns
from export.batch.engines import ENGINES
from export.batch.keys import require_keys
from export.batch.plan import MADE_USERS, SUCCESS, Events, Plan, begin, finish
from export.batch.settings import ScoreSettings
from export.batch.shards import RECORDS, ShardRecord, Task, bundle_sha256, read_record, score_unit
from export.batch.units import InputFile, Unit, input_sha256, list_files, list_units
from export.bundle.folder import open_bundle
from export.contract.contents import check_files
from export.contract.manifest import Description


@dataclass(frozen=True)
class Summary:
    """What a call did.

    Attributes:
        units, rows: of the output.
        skipped: units that were there and whole.
        unknown_ids: ids of histories and candidates that the model does not know.
        seconds: of this call, by the clock; `worker_seconds` those of all workers, also in earlier calls.
    """

    units: int
    rows: int
    skipped: int
    unknown_ids: int
    seconds: float
    worker_seconds: float

    def to_dict(self) -> dict[str, Any]:
        return vars(self)


def score_users(
    bundle: Path | str,
    users: Path | str,
    out: Path | str,
    settings: ScoreSettings | None = None,
    *,
    engine: str = "local",
    workers: int | None = None,
    resume: bool = False,
    tell: Tell = lambda step: None,
    events: Events | None = None,
) -> Summary:
    """Score a row a user of Parquet files, and write a shard a unit.

    Killed at any moment and called again with `resume`, it skips the shards that are whole, and ends with the same
    bytes.

    Args:
        bundle: one that holds ONNX.
        users: a file, a folder or a pattern.
        out: the folder to write; must not exist without `resume`.
        engine: a name in `ENGINES`.
        workers: as many as there are cores, if not given.
        tell: called with a line before each step, and when a unit is done.
        events: what the users were made of, for the plan.

    Raises:
        InputError: a path, a column or a value cannot be used, the output is of another bundle, input or settings, or
            the bundle or input changed on the way.
        CheckError: a worker ended, a shard or a file of the bundle was altered, or the runtime refuses a call.
    """
    began = time.perf_counter()
    chosen_engine = ENGINES.find(engine)
    chosen_engine.require()
    bundle, users, out = Path(bundle), Path(users), Path(out)
    if not resume:
        require_new(out, "the output")
    task, plan, units = _planned(bundle, users, out, settings or ScoreSettings(), events, tell)
    begin(out, plan)
    try:
        _remove_leftovers(out)
        tell("looking at what is there")
        records = {unit.name: record for unit in units if (record := read_record(out, unit)) is not None}
        todo = [unit for unit in units if unit.name not in records]
        skipped = len(records)
        if todo:
            (out / SUCCESS).unlink(missing_ok=True)
            with closing(chosen_engine.map(partial(score_unit, task), todo, workers or cores())) as done:
                records |= {record.name: record for record in _watched(done, todo, tell)}
    finally:
        _remove_leftovers(out)
    manifest = finish(out, plan, [records[unit.name] for unit in units])
    seconds = round(time.perf_counter() - began, 3)
    return Summary(len(units), plan.rows, skipped, manifest.unknown_ids, seconds, manifest.worker_seconds)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _planned(
    bundle: Path, users: Path, out: Path, settings: ScoreSettings, events: Events | None, tell: Tell
) -> tuple[Task, Plan, tuple[Unit, ...]]:
    """Look at the bundle and the whole input before anything is written."""
    opened = open_bundle(bundle)
    manifest = opened.manifest
    sha256 = bundle_sha256(bundle)
    settings = settings.of_bundle(manifest)
    manifest.format("onnx")
    tell("checking the bundle")
    check_files(bundle, manifest)
    tell("hashing the input")
    files = list_files(users)
    require_input(files, settings, manifest)
    tell("looking for users that stand there twice")
    require_keys(files, settings.user)
    units = list_units(files, settings, sha256)
    plan = Plan(
        bundle=str(bundle.absolute()),
        bundle_sha256=sha256,
        input=str(users.absolute()),
        input_sha256=input_sha256(files),
        files=len(files),
        rows=sum(file.rows for file in files),
        units=len(units),
        settings=settings,
        events=events,
    )
    return Task(bundle.absolute(), sha256, out.absolute(), settings), plan, units


def require_input(files: Sequence[InputFile], settings: ScoreSettings, manifest: Description) -> None:
    """Refuse files that lack a column, have one of another dtype, or exclude more ids of a user than the bundle gives.

    Raises:
        InputError: the message has the file.
    """
    columns = columns_of(manifest, settings)
    key: pl.DataType | None = None
    for file in files:
        schema = file.scan().collect_schema()
        require_columns(schema, columns, settings, file.path)
        if key is not None and schema[settings.user] != key:
            raise InputError(
                f"{file.path}: column {settings.user!r} holds {schema[settings.user]}, and {key} in {files[0].path}; "
                "give it one type"
            )
        key = schema[settings.user]
        if "exclude" in columns and settings.candidates is None:
            longest = pl.col(columns["exclude"].name).list.len().max()
            settings.count_with(file.scan().select(longest).collect(engine="streaming").item() or 0, manifest)


def _remove_leftovers(out: Path) -> None:
    """Remove what killed workers left half-written."""
    for folder in (out, out / RECORDS, out / MADE_USERS):
        remove_leftovers(folder)


def _watched(records: Iterator[ShardRecord], units: Sequence[Unit], tell: Tell) -> Iterator[ShardRecord]:
    """Tell after each unit how many rows are done, how fast, and the time that is left."""
    total, done, began = sum(unit.rows for unit in units), 0, time.perf_counter()
    tell(f"0 of {total:,} users")
    for record in records:
        done += record.rows
        speed = done / (time.perf_counter() - began)
        left = (total - done) / speed
        tell(f"{done:,} of {total:,} users, {speed:,.0f} a second, {_clock(left)} left")
        yield record


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
