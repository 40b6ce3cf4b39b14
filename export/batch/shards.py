"""Shards: the output of one unit as a Parquet file, with a record of what it came from."""

from __future__ import annotations

import hashlib
import io
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from bst.config import Frozen
from bst.errors import CheckError, InputError
from bst.system.files import read_text, to_json, write_atomically
from export.batch.scorer import UserScorer
from export.batch.settings import ScoreSettings
from export.batch.units import Unit
from export.bundle.folder import open_bundle
from export.contract.manifest import MANIFEST_FILE

RECORDS = "_units"  # names that begin so are no part of a table to any reader


class ShardRecord(Frozen):
    """What a shard holds and came from.

    Attributes:
        name: of the file.
        input_path, input_bytes, input_sha256: the file of the unit, as it was.
        start, rows: its rows in that file.
        bytes, sha256: of the shard.
        unknown_ids: of all rows.
        seconds: that its worker took.
    """

    name: str
    input_path: str
    input_bytes: int
    input_sha256: str
    start: int
    rows: int
    bytes: int
    sha256: str
    unknown_ids: int
    seconds: float


@dataclass(frozen=True)
class Task:
    """What every worker is given: plain values, which travel between processes and machines.

    Attributes:
        bundle: a folder that every worker can read.
        bundle_sha256: that of its manifest, which has the hashes of its files.
        out: a folder that every worker can write.
        settings: those of `ScoreSettings.of_bundle`.
    """

    bundle: Path
    bundle_sha256: str
    out: Path
    settings: ScoreSettings


def bundle_sha256(bundle: Path) -> str:
    """Hash the manifest of a bundle, which has the hashes of its files."""
    return hashlib.sha256((bundle / MANIFEST_FILE).read_bytes()).hexdigest()


def require_same_bundle(bundle: Path, sha256: str) -> None:
    """Refuse a bundle that is another than the output began with.

    Raises:
        InputError: its manifest has another hash.
    """
    if bundle_sha256(bundle) != sha256:
        raise InputError(
            f"{bundle} was refreshed since the scoring began; score the new bundle with another --out, so that one "
            "output is of one model"
        )


def score_unit(task: Task, unit: Unit) -> ShardRecord:
    """Score a unit and write its shard, then its record; each appears whole or not at all. Two workers on one unit
    write the same bytes.

    Raises:
        InputError: the bundle or the input is another than when the scoring began, or a value cannot be used.
        CheckError: the runtime refuses a call.
        OSError: the shard cannot be written.
    """
    began = time.perf_counter()
    require_same_bundle(task.bundle, task.bundle_sha256)
    scorer = open_scorer(task.bundle, task.bundle_sha256, task.settings)
    unit.file.require_unchanged()
    frame = unit.file.read(scorer.names, unit.start, unit.rows)
    unit.file.require_unchanged()
    try:
        answers = scorer.score(frame)
    except (InputError, CheckError) as error:
        raise type(error)(f"{unit}: {error}") from None
    stream = io.BytesIO()
    answers.write_parquet(stream)
    content = stream.getvalue()
    write_atomically(task.out / unit.name, content)
    record = ShardRecord(
        name=unit.name,
        input_path=unit.file.path,
        input_bytes=unit.file.bytes,
        input_sha256=unit.file.sha256,
        start=unit.start,
        rows=unit.rows,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        unknown_ids=int(answers["unknown_ids"].sum()),
        seconds=round(time.perf_counter() - began, 3),
    )
    write_atomically(record_path(task.out, unit.name), to_json(record.model_dump(mode="json")))
    return record


@lru_cache(maxsize=1)
def open_scorer(bundle: Path, sha256: str, settings: ScoreSettings) -> UserScorer:
    """Open a bundle whose manifest has a hash, once a process.

    Raises:
        InputError: it has another.
    """
    require_same_bundle(bundle, sha256)
    scorer = UserScorer(open_bundle(bundle), settings)
    require_same_bundle(bundle, sha256)  # it may have been refreshed while it was opened
    return scorer


def record_path(out: Path, name: str) -> Path:
    return out / RECORDS / f"{name}.json"


def read_record(out: Path, unit: Unit) -> ShardRecord | None:
    """Return the record of a unit whose shard is there and whole; None where it is to be scored.

    Raises:
        CheckError: the shard was altered.
        InputError: the record was altered.
    """
    path = record_path(out, unit.name)
    if not path.is_file() or not (out / unit.name).is_file():
        return None
    try:
        record = ShardRecord.model_validate_json(read_text(path))
    except (ValidationError, ValueError):
        raise InputError(f"{path} is altered; remove it, and its unit is scored again") from None
    require_whole(out, record)
    return record


def require_whole(out: Path, record: ShardRecord) -> None:
    """Compare a shard with its record.

    Raises:
        CheckError: it is missing, or has another size or hash.
    """
    path = out / record.name
    remedy = "remove it, and --resume scores its unit again"
    if not path.is_file():
        raise CheckError(f"{path} is missing; --resume scores its unit again")
    if (size := path.stat().st_size) != record.bytes:
        raise CheckError(f"{path} is altered: it has {size:,} bytes, its record says {record.bytes:,}; {remedy}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != record.sha256:
        raise CheckError(f"{path} is altered: sha256 {digest}, its record says {record.sha256}; {remedy}")
