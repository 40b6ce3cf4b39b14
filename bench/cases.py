"""The inputs that are timed: many different rows, of a user's kind, the same for every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from export import Bundle
from export.golden import Case, read_golden

Array = NDArray[Any]
POOL = 32  # different calls a batch size; one repeated row would stay in the cache, as no traffic does
CANDIDATES = 100


def draw_inputs(bundle: Bundle, signature: str, batch_size: int, seed: int = 0) -> list[dict[str, Array]]:
    """Draw `POOL` calls of `batch_size` rows each for a signature of `bundle`.

    Items and candidates (`CANDIDATES` a row) follow a Zipf law with exponent 1 over the catalogue in random order.
    Lengths are those of the held-out users whose histories are among the bundle's golden vectors. Context categories
    are uniform. Rows are padded on the left to the longest of their call, as a caller would.
    """
    rng = np.random.default_rng([seed, batch_size])
    manifest = bundle.manifest
    popular = rng.permutation(manifest.items.count) + 1
    weights = 1.0 / np.arange(1, manifest.items.count + 1)
    lengths = measured_lengths(bundle)
    calls = []
    for _ in range(POOL):
        wanted = rng.choice(lengths, size=batch_size)
        width = int(wanted.max())
        items = rng.choice(popular, size=(batch_size, width), p=weights / weights.sum())
        items[np.arange(width) < width - wanted[:, None]] = 0
        context = np.zeros((batch_size, len(manifest.context)), dtype=np.int64)
        for column, facts in enumerate(manifest.context.values()):
            context[:, column] = rng.integers(1, facts.count + 1, size=batch_size)
        candidates = rng.choice(popular, size=(batch_size, CANDIDATES), p=weights / weights.sum())
        case = Case("drawn", items, context, candidates, manifest.settings.top_k.limit)
        calls.append(case.inputs(manifest.signature(signature), bundle.vocabularies))
    return calls


def measured_lengths(bundle: Bundle) -> NDArray[np.int64]:
    """Lengths of the histories of held-out users: the largest batch of them among the golden vectors of `top_k`."""
    manifest = bundle.manifest
    signature = manifest.signature("top_k")
    padding = manifest.items.padding if manifest.ids == "raw" else 0
    name, longest = signature.inputs[0].name, manifest.model.max_length
    golden = read_golden(bundle.path / "golden", signature)
    histories = [one.inputs[name] for one in golden if one.name.startswith("users_")]
    whole = [rows for rows in histories if rows.shape[1] == longest] or [one.inputs[name] for one in golden]
    return np.maximum((max(whole, key=len) != padding).sum(axis=1), 1)
