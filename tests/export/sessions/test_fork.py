"""Sessions that are opened before a fork, as servers that preload do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bst.data.vocabulary import Vocabulary
from export.sessions.lookup import Lookup

PROGRAM = """if True:
    import os, signal, sys
    from pathlib import Path
    import torch
    from export import open_bundle
    from tests.conftest import random_inputs

    torch.set_num_threads(1)
    bundle, backends = Path(sys.argv[1]), sys.argv[2:]
    inputs = random_inputs(bundle, 64, 12, signature="top_k")
    sessions = {one: open_bundle(bundle).session(one, "top_k", threads=1) for one in backends}
    for session in sessions.values():
        session(inputs)
    for name, session in sessions.items():
        child = os.fork()
        if not child:
            signal.alarm(20)  # ends a child that waits for ever
            session(inputs)
            os._exit(0)
        print(name, os.waitpid(child, 0)[1])
"""


@pytest.mark.bundle
def test_with_one_thread_every_backend_answers_after_a_fork(bundle_path: Path) -> None:
    """The bundle has a context of text, so that ids are looked up in front of pt2."""
    backends = ("eager", "onnxruntime", "torchscript", "pt2")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, bundle_path, *backends], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:-1] == [f"{backend} 0" for backend in backends]


@pytest.mark.parametrize("ids", [[-5, 3, 2**62], ["a", "b", "é"], [0]])
def test_ids_of_requests_are_looked_up_as_a_vocabulary_does(ids: list[object]) -> None:
    vocabulary = Vocabulary(pl.Series("id", ids, dtype=pl.Int64 if isinstance(ids[0], int) else pl.String))
    strangers = ["", "z"] if vocabulary.dtype == "string" else [-(2**63), 2**63 - 1, 1, 4]
    raw = np.array([*ids, *strangers, vocabulary.padding], dtype=object if vocabulary.dtype == "string" else np.int64)
    lookup = Lookup(vocabulary)
    indices = lookup.indices(raw[None])
    assert np.array_equal(indices[0], vocabulary.indices(raw.tolist()))
    assert np.array_equal(lookup.raw(indices), vocabulary.raw(indices))
