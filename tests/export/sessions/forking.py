"""A process that opens sessions and then forks, as servers that preload do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import torch

from export import open_bundle
from tests.conftest import random_inputs


def ends_of_children(bundle: Path, backends: tuple[str, ...]) -> dict[str, int]:
    """Call the session of each backend here, and once more in a child each: how the children ended, 0 for well."""
    torch.set_num_threads(1)
    inputs = random_inputs(bundle, 64, 12, signature="top_k")
    sessions = {backend: open_bundle(bundle).session(backend, "top_k", threads=1) for backend in backends}
    for session in sessions.values():
        session(inputs)
    ends = {}
    for backend, session in sessions.items():
        child = os.fork()
        if not child:
            signal.alarm(20)  # ends a child that waits for ever
            session(inputs)
            os._exit(0)
        ends[backend] = os.waitpid(child, 0)[1]
    return ends
