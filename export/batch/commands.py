"""`bst score`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bst.config import DataConfig
from bst.errors import InputError, printable
from bst.system.commands import INPUT, OUTPUT
from bst.system.console import Tell, told_steps
from bst.system.files import require_new
from bst.system.text import split_list
from bst.system.validation import validated
from export.batch.engines import ENGINES
from export.batch.histories import made_users
from export.batch.plan import Events
from export.batch.scores import Summary, score_users
from export.batch.settings import HISTORY, UNIT_ROWS, USER, ScoreSettings
from export.batch.verify import verify_scores
from export.bundle.folder import open_bundle

input_option, output_option, work_option = (
    partial(typer.Option, rich_help_panel=INPUT),
    partial(typer.Option, rich_help_panel=OUTPUT),
    partial(typer.Option, rich_help_panel="The work"),
)
DATA = DataConfig()
LOG_SECONDS = 60.0  # between two lines of progress where stderr is no terminal

Bundle = Annotated[Path | None, typer.Argument(metavar="BUNDLE", help="A bundle that holds ONNX.")]
Users = Annotated[
    Path | None,
    typer.Argument(
        metavar="USERS",
        help="A row a user: Parquet files, a folder or 'pattern'; with --from-events, a table of users' features.",
    ),
]
Out = Annotated[Path | None, output_option(help="The folder to write; must not exist without --resume.")]
K = Annotated[
    int | None, output_option(help="Items a user [all that the bundle gives, with --max-k 10; of candidates all].")
]
Json = Annotated[bool, output_option("--json", help="Print the summary as JSON.")]
UserColumn = Annotated[str, input_option(help="Column of users, copied through; no user may stand twice.")]
History = Annotated[str, input_option(help="Column of lists of raw ids, oldest first.")]
Candidates = Annotated[
    str | None, input_option(help="Column of lists of raw ids to score, instead of the whole catalogue.")
]
Exclude = Annotated[
    str | None,
    input_option(help="Column of lists of raw ids never to be given; the bundle must give k and so many more."),
]
Unknown = Annotated[
    str, input_option(help="Features of the model that are not known of any user, separated by commas.")
]
FromEvents = Annotated[Path | None, input_option(help="Make the histories of this table of events.")]
AsOf = Annotated[str | None, input_option(help="Of the events, those before this time count.")]
ItemColumn = Annotated[str, input_option(help="Column of items in the events.")]
TimeColumn = Annotated[str, input_option(help="Column of times in the events.")]
TimeFormat = Annotated[str | None, input_option(help="Format of times, such as %d/%m/%Y %H:%M.")]
EngineName = Annotated[str, work_option(help=f"Who does the work: {', '.join(ENGINES.names)}.")]
Workers = Annotated[int | None, work_option(help="How many at once, a core each [as many as cores].", min=1)]
UnitRows = Annotated[int, work_option(help="Rows a shard; a worker holds so many rows and their answers.", min=1)]
Resume = Annotated[bool, work_option("--resume", help="Go on: shards that are whole are skipped.")]
Verify = Annotated[
    Path | None, typer.Option(metavar="OUT", help="Check a finished output: hashes, and a sample scored again.")
]


def score(
    bundle: Bundle = None,
    users: Users = None,
    out: Out = None,
    k: K = None,
    user_column: UserColumn = USER,
    history: History = HISTORY,
    candidates: Candidates = None,
    exclude: Exclude = None,
    unknown: Unknown = "",
    from_events: FromEvents = None,
    as_of: AsOf = None,
    item_column: ItemColumn = DATA.item_column,
    time_column: TimeColumn = DATA.time_column,
    time_format: TimeFormat = None,
    engine: EngineName = "local",
    workers: Workers = None,
    unit_rows: UnitRows = UNIT_ROWS,
    resume: Resume = False,
    verify: Verify = None,
    json_output: Json = False,
) -> None:
    """Score all users of a shop, from Parquet into Parquet.

    A row a user becomes a row of item_ids and scores, best first; a click model gives probabilities beside the scores
    of --candidates. unknown_ids counts the ids of a row that the model does not know: most models ignore them in a
    history, and leave such candidates out.
    """
    if verify is not None:
        _verify(verify, bundle, users, json_output)
        return
    if bundle is None or out is None or (users is None and from_events is None):
        raise InputError("give a bundle, users (or --from-events) and --out: bst score BUNDLE users/ --out recs/")
    settings = validated(
        ScoreSettings,
        {
            **{"user": user_column, "history": history, "candidates": candidates, "exclude": exclude, "k": k},
            **{"unknown": split_list(unknown), "unit_rows": unit_rows},
        },
        "the options",
    )
    if from_events is None and as_of is not None:
        raise InputError(f"--as-of {as_of} is of --from-events; give the table of events, or leave it out")
    if from_events is not None and as_of is None:
        raise InputError(f"--from-events {from_events} needs a time before which events count: --as-of 2026-01-31")
    ENGINES.find(engine).require()
    if not resume:
        require_new(out, "the output")
    work = Work(engine, workers, resume)
    remarks: tuple[str, ...] = ()
    with _progress() as tell:
        if from_events is None:
            assert users is not None
            summary = work.score(bundle, users, out, settings, tell)
        else:
            named = {"as_of": as_of, "item": item_column, "time": time_column, "time_format": time_format}
            events = validated(Events, {"path": str(from_events.absolute()), **named}, "the options")
            summary, remarks = _score_events(bundle, events, users, out, settings, tell, work)
    for line in remarks:
        print(f"note: {printable(line)}", file=sys.stderr)
    _print(summary, out, json_output)


@dataclass(frozen=True)
class Work:
    """Who does the work, and whether it goes on."""

    engine: str
    workers: int | None
    resume: bool

    def score(
        self, bundle: Path, users: Path, out: Path, settings: ScoreSettings, tell: Tell, events: Events | None = None
    ) -> Summary:
        resume = self.resume or events is not None  # users of events are in the output's folder already
        return score_users(
            *(bundle, users, out, settings),
            engine=self.engine,
            workers=self.workers,
            resume=resume,
            tell=tell,
            events=events,
        )


def _score_events(
    bundle: Path, events: Events, table: Path | None, out: Path, settings: ScoreSettings, tell: Tell, work: Work
) -> tuple[Summary, tuple[str, ...]]:
    """Make users of events in the output's folder, where every worker can read them, and score them."""
    manifest = open_bundle(bundle).manifest
    tell("reading events")
    with made_users(out, events, table, settings.of_bundle(manifest), manifest) as users:
        return work.score(bundle, users.path, out, settings, tell, events), users.remarks


def _print(summary: Summary, out: Path, json_output: bool) -> None:
    if json_output:
        print(json.dumps(summary.to_dict()))
        return
    fresh = summary.units - summary.skipped
    print(f"scored {summary.rows:,} users in {summary.units:,} shards: {fresh:,} now, {summary.skipped:,} were there")
    print(f"{summary.unknown_ids:,} ids are not known to the model; {summary.worker_seconds:,.1f} s of workers")
    print(f"next: bst score --verify {out}")


def _verify(out: Path, bundle: Path | None, users: Path | None, json_output: bool) -> None:
    with told_steps() as tell:
        verified = verify_scores(out, bundle, users, tell)
    if json_output:
        print(json.dumps(verified.to_dict()))
        return
    print(f"ok  {verified.shards:,} shards, {verified.rows:,} users: every hash is right")
    if verified.max_error is not None:
        print(f"ok  {verified.replayed:,} users scored again, one at a time: max error {verified.max_error:.1e}")
    for line in verified.notes:
        print(f"note: {printable(line)}")


@contextmanager
def _progress() -> Iterator[Tell]:
    """Yield a function that shows the current step on a terminal; elsewhere it writes a line a minute to stderr."""
    if sys.stderr.isatty():
        with told_steps() as tell:
            yield tell
        return
    written = time.monotonic()

    def write(step: str) -> None:
        nonlocal written
        if time.monotonic() - written >= LOG_SECONDS:
            written = time.monotonic()
            print(step, file=sys.stderr, flush=True)

    yield write
