"""The plan of an output folder: which bundle, input and settings it is of, so that nothing else gets into it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bst import __version__
from bst.config import Frozen
from bst.errors import CheckError, InputError
from bst.system.files import read_json, to_json, write_atomically
from bst.system.validation import validated
from export.batch.settings import ScoreSettings
from export.batch.shards import RECORDS, ShardRecord

PLAN_FILE, MANIFEST_FILE, SUCCESS = "_plan.json", "_manifest.json", "_SUCCESS"
WHAT = "an output of `bst score`"
MADE_USERS = "_users"  # histories that were made of events
INSIDE = (RECORDS, MADE_USERS)


class Events(Frozen):
    """The events that the histories were made of: a table, the time before which they count, its columns and format of
    times.
    """

    path: str
    as_of: str
    item: str
    time: str
    time_format: str | None = None


class Plan(Frozen):
    """What decides an output.

    Attributes:
        bundle: where it lies; `bundle_sha256` is the hash of its manifest.
        input: where the users lie; of histories made of `events`, the file that was made.
        input_sha256: over the content of the files, in order.
        files, rows, units: how many.
        bst: the version that began.
    """

    schema_version: str = "1.0"
    bundle: str
    bundle_sha256: str
    input: str
    input_sha256: str
    files: int
    rows: int
    units: int
    settings: ScoreSettings
    events: Events | None = None
    bst: str = __version__

    def differences(self, other: Plan) -> list[str]:
        """Name what of `other` would give other bytes."""
        lines = []
        if self.bundle_sha256 != other.bundle_sha256:
            mine, theirs = (f"{plan.bundle} ({plan.bundle_sha256[:12]})" for plan in (self, other))
            lines.append(f"the bundle {mine}, not {theirs}")
        if self.input_sha256 != other.input_sha256:
            lines.append(f"the input {self.input} ({self.rows:,} rows), not {other.input} ({other.rows:,} rows)")
        for name in ScoreSettings.model_fields:
            mine, theirs = (_option(name, plan.settings) for plan in (self, other))
            if mine != theirs:
                lines.append(f"{mine}, not {theirs}")
        return lines


def _option(name: str, settings: ScoreSettings) -> str:
    value = getattr(settings, name)
    shown = ",".join(value) if isinstance(value, tuple) else value
    return f"{name}={shown}"


def begin(out: Path, plan: Plan) -> None:
    """Write the plan of a new output, or compare the one that is there.

    Raises:
        InputError: the folder is of another bundle, input or settings, or none of `bst score`.
    """
    require_output(out)
    path = out / PLAN_FILE
    if not path.exists():
        (out / RECORDS).mkdir(parents=True, exist_ok=True)
        write_atomically(path, to_json(plan.model_dump(mode="json")))
        return
    if differences := read_plan(out).differences(plan):
        raise InputError(f"{out} is of {'; '.join(differences)}; give another --out")
    (out / RECORDS).mkdir(exist_ok=True)


def require_output(out: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        InputError: as said.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is not a folder; give another --out")
    if not out.is_dir() or (out / PLAN_FILE).exists():
        return
    leftover = f".{PLAN_FILE}.partial-"  # of a call that was killed while it wrote the plan
    if any(child.name not in INSIDE and not child.name.startswith(leftover) for child in out.iterdir()):
        raise InputError(f"{out} is not {WHAT}, and not empty; give another --out")


def read_plan(out: Path) -> Plan:
    """Read the plan of an output.

    Raises:
        InputError: the folder is none of `bst score`.
    """
    return validated(Plan, read_json(out / PLAN_FILE, WHAT), str(out / PLAN_FILE))


class ScoresManifest(Plan):
    """The content of a finished output: its plan, sums over all shards, and the shards in the order of the input."""

    unknown_ids: int
    worker_seconds: float
    shards: tuple[ShardRecord, ...]


def finish(out: Path, plan: Plan, records: Sequence[ShardRecord]) -> ScoresManifest:
    """Write the manifest of all shards, then `_SUCCESS`, which says that every shard is there."""
    manifest = ScoresManifest(
        **{name: getattr(plan, name) for name in Plan.model_fields},
        unknown_ids=sum(record.unknown_ids for record in records),
        worker_seconds=round(sum(record.seconds for record in records), 3),
        shards=tuple(records),
    )
    write_atomically(out / MANIFEST_FILE, to_json(manifest.model_dump(mode="json")))
    write_atomically(out / SUCCESS, "")
    return manifest


def read_finished(out: Path) -> ScoresManifest:
    """Read the manifest of a finished output.

    Raises:
        InputError: the folder is none of `bst score`, or its manifest is damaged.
        CheckError: it is not finished.
    """
    if not (out / SUCCESS).exists():
        read_plan(out)
        raise CheckError(f"{out} is not finished: it has no {SUCCESS}; --resume goes on")
    return validated(ScoresManifest, read_json(out / MANIFEST_FILE, WHAT), str(out / MANIFEST_FILE))
