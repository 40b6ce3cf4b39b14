"""The cost of candidates in a click model: calls by this project, with the user's history and with a user that was
kept, and by a sequence for each candidate, in turns.

    python -m bench.studies.candidate_cost BUNDLE [--candidates 500] [--rounds 6]

One user with a full history, one thread. In each round every contestant is called, those of this project ten times; the
median stands beside the fastest call, and beside the median of the processor time, of which the ratio is: on a machine
with other work a call waits, and a long one more often. The largest difference of the scores from the first
contestant's is the error.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.contestants.peers import build_peers
from bench.harness.cases import draw_inputs
from bench.record.record import Case
from bst.system.files import temporary_folder
from bst.system.text import split_list
from export import Bundle, Session, open_bundle
from export.contract.inputs import Arrays
from export.contract.signatures import ENCODE_USER, FROM_USER

SIGNATURE = "score_candidates"
OWN = ("onnxruntime", "torchscript")
OPPONENTS = "plain-onnx,plain-onnx-legacy,plain-script"
CALLS, POOL = 10, 4  # of this project's in a round; different calls


def add_kept_user(
    bundle: Bundle, inputs: list[Arrays], sessions: dict[str, Session], prepared: dict[str, list[Any]]
) -> None:
    """Add the calls that encode the users of `inputs`, and those that score their candidates from what that gives."""
    encoding, scoring = (bundle.session(OWN[0], name, threads=1) for name in (ENCODE_USER, FROM_USER))
    names = [spec.name for spec in encoding.signature.inputs]
    users = [encoding({name: call[name] for name in names}) for call in inputs]
    sessions |= {"encode the user": encoding, "from the kept user": scoring}
    prepared["encode the user"] = [encoding.prepare(call) for call in inputs]
    prepared["from the kept user"] = [
        scoring.prepare({**call, **user}) for call, user in zip(inputs, users, strict=True)
    ]


@torch.inference_mode()
def main() -> None:
    """Call the contestants in turns, and print a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--opponents", default=OPPONENTS)
    parser.add_argument("--rounds", type=int, default=6)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bundle = open_bundle(arguments.bundle)
    sizes = bundle.manifest.model
    case = Case(
        num_items=sizes.num_items,
        batch_size=1,
        length=sizes.max_length,
        candidates=arguments.candidates,
        threads=1,
    )
    inputs = draw_inputs(bundle, SIGNATURE, case, 0, POOL)[:POOL]
    with temporary_folder() as folder:
        sessions = {name: bundle.session(name, SIGNATURE, threads=1) for name in OWN}
        peers, missing = build_peers(bundle, SIGNATURE, folder, split_list(arguments.opponents))
        sessions |= {name: peer.open(bundle, SIGNATURE, 1) for name, peer in peers.items()}
        prepared = {name: [session.prepare(call) for call in inputs] for name, session in sessions.items()}
        if FROM_USER in bundle.manifest.settings.signatures:
            add_kept_user(bundle, inputs, sessions, prepared)
        answers = {name: session.finish(session.run(prepared[name][0])) for name, session in sessions.items()}
        seconds: dict[str, list[float]] = {name: [] for name in sessions}
        of_processor: dict[str, list[float]] = {name: [] for name in sessions}
        for number in range(arguments.rounds):
            for name, session in sessions.items():
                for place in range(1 if name in peers else CALLS):
                    starts = time.perf_counter(), time.process_time()
                    session.run(prepared[name][(number + place) % len(inputs)])
                    of_processor[name].append(time.process_time() - starts[1])
                    seconds[name].append(time.perf_counter() - starts[0])
    fastest = statistics.median(of_processor[OWN[0]])
    expected = answers[OWN[0]]["scores"]
    for name, times in seconds.items():
        median, worked = statistics.median(times), statistics.median(of_processor[name])
        line = f"{name:<20} median {1e3 * median:7.2f} ms  least {1e3 * min(times):7.2f} ms  "
        line += f"processor {1e3 * worked:7.2f} ms  {worked / fastest:6.2f} of {OWN[0]}"
        if "scores" in answers[name]:
            line += f"  error {np.abs(answers[name]['scores'] - expected).max():.0e}"
        print(line)
    for name, why in missing.items():
        print(f"{name}: {why}")


if __name__ == "__main__":
    main()
