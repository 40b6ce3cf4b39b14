"""The cost of candidates in a click model: calls by this project, and by a sequence for each candidate, in turns.

    python -m bench.studies.candidate_cost BUNDLE [--candidates 500] [--rounds 6]

One user with a full history, one thread. In each round every contestant is called, those of this project ten times; the
median stands beside the fastest call. The largest difference of the scores from the first contestant's is the error.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from bench.contestants.peers import build_peers
from bench.harness.cases import draw_inputs
from bench.record.record import Case
from bst.system.files import temporary_folder
from bst.system.text import split_list
from export import open_bundle

SIGNATURE = "score_candidates"
OWN = ("onnxruntime", "torchscript")
OPPONENTS = "plain-onnx,plain-onnx-legacy,plain-script"
CALLS, POOL = 10, 4  # of this project's in a round; different calls


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
        answers = {name: session.finish(session.run(prepared[name][0])) for name, session in sessions.items()}
        seconds: dict[str, list[float]] = {name: [] for name in sessions}
        for number in range(arguments.rounds):
            for name, session in sessions.items():
                for place in range(CALLS if name in OWN else 1):
                    start = time.perf_counter()
                    session.run(prepared[name][(number + place) % len(inputs)])
                    seconds[name].append(time.perf_counter() - start)
    fastest = statistics.median(seconds[OWN[0]])
    expected = answers[OWN[0]]["scores"]
    for name, times in seconds.items():
        median, error = statistics.median(times), np.abs(answers[name]["scores"] - expected).max()
        print(
            f"{name:<20} median {1e3 * median:9.2f} ms  least {1e3 * min(times):9.2f} ms  "
            f"{median / fastest:6.1f} of {OWN[0]}  error {error:.0e}"
        )
    for name, why in missing.items():
        print(f"{name}: {why}")


if __name__ == "__main__":
    main()
