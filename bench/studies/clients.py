"""Latency of the clients side by side: `python -m bench.studies.clients BUNDLE --client NAME=COMMAND ...`.

COMMAND times a client, such as `build/bst-libtorch bench {bundle} --format aotinductor`; `--calls` and `--case` are
added, and it prints one line of JSON with `p50_us` and `p99_us` (clients/README.md). Beside them runs
`python`: the same call in ONNX Runtime from Python, `session.run` alone, on arrays that are there already.

In each round every client starts once, in an order drawn anew, on one core, with one thread. The ratio to `python` is
taken within a round, and its interval over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from bench.record.environment import ALLOCATOR, describe
from bench.record.statistics import Interval, mean_of_launches, verdict
from bst.errors import CheckError, InputError
from bst.system.files import write_atomically
from bst.system.machine import last_cores
from export import open_bundle
from export.proof.golden import read_golden

REFERENCE = "python"
TIMEOUT_S = 300
HEADS = ("client", "runtime", "format", "p50 us", "p99 us", "times as fast as ONNX Runtime from Python")


@dataclass(frozen=True)
class Measured:
    """A client's own report, one line of JSON a round."""

    name: str
    lines: list[dict[str, Any]]

    def interval(self, key: str) -> Interval:
        """Return the geometric mean over rounds with its interval."""
        return _exp(mean_of_launches(np.log([line[key] for line in self.lines])))

    def speedup(self, reference: Measured) -> Interval:
        ratios = [own["p50_us"] / line["p50_us"] for line, own in zip(self.lines, reference.lines, strict=True)]
        return _exp(mean_of_launches(np.log(ratios)))


def main() -> None:
    """Race the clients and print a table in Markdown, or (`--alone`) time ONNX Runtime from Python."""
    arguments = _arguments()
    if arguments.alone:
        print(json.dumps(time_python(arguments.bundle, arguments.case, arguments.calls)))
        return
    own = f"{shlex.quote(sys.executable)} -m bench.studies.clients {{bundle}} --alone"
    commands = {REFERENCE: own, **dict(_named(text) for text in arguments.client)}
    reports = race(commands, arguments.bundle, arguments.case, arguments.calls, arguments.rounds)
    print(table(reports))
    if arguments.json:
        content = {
            "bundle_items": open_bundle(arguments.bundle).manifest.items.count,
            "environment": describe((1,)),
            "settings": {name: getattr(arguments, name) for name in ("case", "calls", "rounds")},
            "lines": {report.name: report.lines for report in reports},
        }
        write_atomically(arguments.json, json.dumps(content, indent=1) + "\n")


def race(commands: dict[str, str], bundle: Path, case: str, calls: int, rounds: int) -> list[Measured]:
    """Run every client's own timing once a round.

    Raises:
        CheckError: a client fails; the message has its name and its stderr.
    """
    reports = {name: Measured(name, []) for name in commands}
    rng = np.random.default_rng(0)
    for number in range(rounds):
        for name in rng.permutation(list(commands)).tolist():
            reports[name].lines.append(_run(name, commands[name], bundle, case, calls))
            if sys.stderr.isatty():
                print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
    return list(reports.values())


def _run(name: str, command: str, bundle: Path, case: str, calls: int) -> dict[str, Any]:
    words = [word.format(bundle=bundle) for word in shlex.split(command)]
    environment = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*words, "--calls", str(calls), "--case", case],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, last_cores(1)),
        check=False,
    )
    if done.returncode:
        raise CheckError(f"client {name} ended with exit code {done.returncode}: {done.stderr.strip()}")
    line: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return line


def time_python(path: Path, case: str, calls: int) -> dict[str, Any]:
    """Time `session.run` of the main signature on a golden case, in microseconds."""
    bundle = open_bundle(path)
    name = bundle.manifest.main_signature().name
    session = bundle.session("onnxruntime", name, threads=1)
    golden = {call.name: call for call in read_golden(path / bundle.manifest.format("onnx").golden, session.signature)}
    if case not in golden:
        raise InputError(f"--case {case} is not a golden case of {name}; known: {', '.join(golden)}")
    prepared = session.prepare(golden[case].inputs)
    times = []
    for _ in range(calls + max(20, calls // 10)):
        started = time.perf_counter()
        session.run(prepared)
        times.append(1e6 * (time.perf_counter() - started))
    p50, p99 = np.percentile(times[-calls:], [50, 99])
    rows, length = next(iter(golden[case].inputs.values())).shape
    runtime = f"onnxruntime {onnxruntime.__version__}"
    facts = {"client": REFERENCE, "runtime": runtime, "format": "onnx", "signature": name, "case": case}
    return {**facts, "rows": rows, "length": length, "threads": 1, "calls": calls, "p50_us": p50, "p99_us": p99}


def table(reports: list[Measured]) -> str:
    """Write the results in Markdown."""
    reference = next(report for report in reports if report.name == REFERENCE)
    rows = [HEADS, ("---",) * len(HEADS)]
    for report in reports:
        p50, p99, ratio = report.interval("p50_us"), report.interval("p99_us"), report.speedup(reference)
        judgement = verdict(ratio) if report is not reference else "reference"
        line = report.lines[0]
        cells = (report.name, line["runtime"], line["format"], _shown(p50), _shown(p99))
        rows.append((*cells, f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f}), {judgement}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(interval: Interval) -> str:
    return f"{interval.value:,.0f} ({interval.low:,.0f} to {interval.high:,.0f})"


def _exp(logs: Interval) -> Interval:
    return Interval(value=float(np.exp(logs.value)), low=float(np.exp(logs.low)), high=float(np.exp(logs.high)))


def _named(text: str) -> tuple[str, str]:
    name, equals, command = text.partition("=")
    if not equals or "{bundle}" not in command:
        raise InputError(
            f"--client {text!r} is not NAME=COMMAND with {{bundle}} in it; give such as node='node c.mjs ...'"
        )
    return name, command


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--client", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--case", default="full", help="a golden case [%(default)s]")
    parser.add_argument("--calls", type=int, default=2000, help="a client a round [%(default)s]")
    parser.add_argument("--rounds", type=int, default=8, help="[%(default)s]")
    parser.add_argument("--json", type=Path, help="write every line too")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (CheckError, InputError) as error:
        sys.exit(f"error: {error}")
