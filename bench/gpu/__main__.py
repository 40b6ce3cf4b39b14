"""Every measurement and check that needs a CUDA device, in one run of under eight minutes and without a network.

    make test-gpu                                              # on that machine; writes gpu/gpu.json and gpu/gpu.html
    python -m bench.gpu --out FOLDER                        # the same, where the packages are installed already
    python -m bench.gpu --out FOLDER --device cpu --small      # as far as a CPU goes: what a test runs

Each part (`bench.gpu.parts`) runs in a process of its own, which is ended when its time is up, so that a compiler that
hangs costs its own part alone. The report is rewritten after every part. The exit code is 0 if nothing is wrong
(missing parts are listed), 1 if an answer is wrong or a part fails or is not done in time, 2 for bad input.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from bench.gpu.page import gpu_page
from bench.gpu.parts import PARTS, Job, make_bundle
from bench.record.environment import describe
from bst.errors import CheckError, InputError
from bst.system.files import require_new, to_json, write_atomically
from bst.training.world import require_device

SECONDS = 470  # for all parts together


def main(arguments: list[str] | None = None) -> int:
    """Run all parts, or with `--part` one of them in this process, and return the exit code."""
    options = _parser().parse_args(arguments)
    job = Job(options.out.absolute(), options.device, options.small)
    try:
        if options.part:
            _answer(job, options.part)
            return 0
        require_device(options.device)
        require_new(options.out, "the folder of the report", "--out")
        return _run_all(job)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder for gpu.json and gpu.html; must not exist")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
    parser.add_argument("--small", action="store_true", help="tiny sizes, whose numbers mean nothing")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    return parser


def _run_all(job: Job) -> int:
    started = time.monotonic()
    job.folder.mkdir(parents=True)
    report: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"python -m bench.gpu --device {job.device}{' --small' if job.small else ''}",
        "device": torch.cuda.get_device_name(job.device) if job.kind == "cuda" else "cpu",
        "cuda": torch.version.cuda,
        "environment": describe((1,)),
        "parts": {},
    }
    make_bundle(job)
    for name, part in PARTS.items():
        left = SECONDS - (time.monotonic() - started)
        print(f"{name}: {part.about} (at most {min(part.seconds, left):.0f} s)", flush=True)
        report["parts"][name] = result = _in_time(job, name, min(part.seconds, left))
        print(f"  {result['state']} after {result['seconds']:.0f} s{_details(result)}", flush=True)
        write_atomically(job.folder / "gpu.json", to_json(report))
        write_atomically(job.folder / "gpu.html", gpu_page(report))
    print(f"wrote {job.folder / 'gpu.json'} and {job.folder / 'gpu.html'}")
    return int(any(each["state"] != "passed" for each in report["parts"].values()))


def _details(result: dict[str, Any]) -> str:
    lines = [result["error"]] if result.get("error") else []
    lines += [f"missing: {name}, {why}" for name, why in result.get("missing", {}).items()]
    return "".join(f"\n  {line}" for line in lines)


def _in_time(job: Job, name: str, seconds: float) -> dict[str, Any]:
    """Run a part in a process of its own and return its result, or how it ended."""
    started = time.monotonic()
    command = [sys.executable, "-m", "bench.gpu", "--part", name, "--out", job.folder, "--device", job.device]
    result: dict[str, Any]
    try:
        done = subprocess.run(
            [*map(str, command), *(["--small"] if job.small else [])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=max(seconds, 1),
            check=False,
        )
    except subprocess.TimeoutExpired:
        result = {"state": "out of time", "error": f"not done after {seconds:.0f} s"}
    else:
        answer = job.folder / f"{name}.json"
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        broken = {"state": "failed", "error": f"exit code {done.returncode}: {last}"}
        result = json.loads(answer.read_text()) if answer.exists() else broken
        answer.unlink(missing_ok=True)
    return {**result, "seconds": time.monotonic() - started}


def _answer(job: Job, name: str) -> None:
    """Run a part in this process and write its result for the parent process."""
    try:
        result = PARTS[name].run(job)
        wrong = "; ".join(result.pop("failures", ()))
        result = {"state": "failed" if wrong else "passed", **({"error": wrong} if wrong else {}), **result}
    except CheckError as error:
        result = {"state": "failed", "error": str(error)}
    write_atomically(job.folder / f"{name}.json", to_json(result))


if __name__ == "__main__":
    sys.exit(main())
