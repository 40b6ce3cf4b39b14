"""Sessions that are opened before a fork, as servers that preload do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bst.data.vocabulary import Vocabulary
from bst.system.processes import in_own_process
from export.sessions.lookup import Lookup
from tests.export.sessions.forking import ends_of_children


@pytest.mark.bundle
def test_with_one_thread_every_backend_answers_after_a_fork(bundle_path: Path) -> None:
    """The bundle has a context of text, so that ids are looked up in front of pt2."""
    backends = ("eager", "onnxruntime", "torchscript", "pt2")
    assert in_own_process(ends_of_children, bundle_path, backends) == dict.fromkeys(backends, 0)


@pytest.mark.parametrize("ids", [[-5, 3, 2**62], ["a", "b", "é"], [0]])
def test_ids_of_requests_are_looked_up_as_a_vocabulary_does(ids: list[object]) -> None:
    vocabulary = Vocabulary(pl.Series("id", ids, dtype=pl.Int64 if isinstance(ids[0], int) else pl.String))
    strangers = ["", "z"] if vocabulary.dtype == "string" else [-(2**63), 2**63 - 1, 1, 4]
    raw = np.array([*ids, *strangers, vocabulary.padding], dtype=object if vocabulary.dtype == "string" else np.int64)
    lookup = Lookup(vocabulary)
    indices = lookup.indices(raw[None])
    assert np.array_equal(indices[0], vocabulary.indices(raw.tolist()))
    assert np.array_equal(lookup.raw(indices), vocabulary.raw(indices))
