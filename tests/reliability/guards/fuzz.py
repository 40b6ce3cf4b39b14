"""Feed spoilt files to every reader: each gives a value, or an error of ours on one line that names the file.

    python -m tests.reliability.guards.fuzz --seconds 600 --seed 7        # all readers, each for the same time
    python -m tests.reliability.guards.fuzz --only table --inputs 1000

Readers run in a process of their own, which is started again where it died. A failure is any other exception, the death
of the process, ten seconds without an answer, more than a gigabyte of new memory, a process started, a connection, a
file written elsewhere. Each is told once, by its kind and place, and its input is kept; then the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from bst.system.processes import context
from tests.reliability.guards.feeding import Failure, Input, Plan, be_fed, place_in

# For readers in a process of their own; where tests fork them, it has the environment of what they are forked from.
ALONE = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}
RESTART_SECONDS = 1.0  # what a death counts in the time of a reader, so that one that always dies comes to an end


@dataclass
class Findings:
    """What a hunt found: inputs fed to each reader, each distinct failure, and where inputs that fail are kept."""

    kept: Path
    counts: Counter[str] = field(default_factory=Counter)
    spent: dict[str, float] = field(default_factory=dict)
    failures: dict[tuple[str, str, str], Failure] = field(default_factory=dict)

    def add(self, failure: Failure, content: bytes) -> None:
        key = (failure.given.reader, failure.kind, failure.place)
        if key not in self.failures:
            self.failures[key] = failure
            print(
                f"{failure.given.reader}: {failure.kind} at {failure.place}: {' '.join(failure.said.split())}",
                flush=True,
            )
            path = self.kept / failure.given.reader / failure.given.label / failure.given.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def read(self, told: str) -> Input | None:
        """Take in what a process told, and give the input that it was at last."""
        last = None
        for line in told.splitlines():
            one = json.loads(line)
            if "at" in one:
                last = Input(**one["at"])
                self.counts[last.reader] += 1
                self.spent[last.reader] = one["spent"]
            else:
                values = one["failure"]
                self.add(Failure(**{**values, "given": Input(**values["given"])}), bytes.fromhex(one["content"]))
        return last


def hunt(plan: Plan, files: Path, kept: Path) -> Findings:
    """Feed all that is planned, beside the `files` that `readers.make_files` wrote; keep inputs that fail in `kept`."""
    found = Findings(kept)
    while True:
        with mock.patch.dict(os.environ, ALONE), tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            work = Path(folder)
            shutil.copytree(files, work / "files")
            given = (plan, work, dict(found.counts), found.spent)
            child = context().Process(target=be_fed, args=given)
            child.start()
            child.join()
            last, trace = found.read((work / "told").read_text()), (work / "trace").read_text(errors="replace")
            if child.exitcode == 0:
                return found
            if last is None:
                raise RuntimeError(f"no reader started: {trace}")
            found.add(
                _death(last, child.exitcode or 0, trace, plan.patience), (work / "files" / last.file).read_bytes()
            )
            found.spent[last.reader] += RESTART_SECONDS


def _death(given: Input, code: int, trace: str, patience: int) -> Failure:
    kind = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    if "Timeout (" in trace:
        kind = f"no answer in {patience} s"
    return Failure(given, kind, place_in(trace), trace[:300])


def main(arguments: list[str] | None = None) -> int:
    from tests.reliability.guards.readers import READERS, make_files

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=600.0, help="for all readers together")
    parser.add_argument("--inputs", type=int, default=10**9, help="for each reader, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", choices=list(READERS), metavar="READER", help=", ".join(READERS))
    parser.add_argument("--kept", type=Path, help="where inputs that fail are kept")
    given = parser.parse_args(arguments)
    names = tuple(given.only or READERS)
    kept = given.kept or Path(tempfile.mkdtemp(prefix="failing-"))
    with tempfile.TemporaryDirectory(prefix="files-") as folder:
        make_files(Path(folder))
        plan = Plan(names, given.seed, given.seconds / len(names), given.inputs)
        return _report(hunt(plan, Path(folder), kept), plan)


def _report(found: Findings, plan: Plan) -> int:
    for one in found.failures.values():
        where = found.kept / one.given.reader / one.given.label / one.given.file
        print(f"{one.given.reader}: {one.kind} at {one.place}: {' '.join(one.said.split())} ({where})")
    for name in plan.readers:
        print(f"{name:16} {found.counts[name]:8,} inputs in {found.spent.get(name, 0):6.1f} s")
    print(f"seed {plan.seed}: {found.counts.total():,} inputs, {len(found.failures)} distinct failures")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
