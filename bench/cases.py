"""The inputs that are timed: many different rows, of a user's kind, the same for every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.record import Case
from export import Bundle
from export.golden import Case as Call
from export.golden import read_golden

Array = NDArray[Any]
# One repeated row would stay in the cache, as no traffic does; the pool is as large as checking its answers allows.
MAX_POOL, MIN_POOL = 128, 8
POOL_ROWS = 1024
POOL_SCORES = 64_000_000
STRIDE = 37  # rounds begin at different inputs; a prime, so that every input comes first in some round


def pool_size(case: Case) -> int:
    """How many different calls of a case are drawn."""
    rows = min(POOL_ROWS, POOL_SCORES // case.num_items)
    return int(np.clip(rows // case.batch_size, MIN_POOL, MAX_POOL))


def first_input(launch: int, number: int, pool: int) -> int:
    """The input that round `number` of `launch` begins with; launches have fewer than a thousand rounds."""
    return (launch * 1009 + number) * STRIDE % pool


def draw_calls(bundle: Bundle, case: Case, seed: int = 0) -> list[Call]:
    """Draw the calls of a case, by index, `pool_size` of them.

    Items and candidates follow a Zipf law with exponent 1 over the catalogue in random order. Lengths, where the case
    does not fix them, are those of the held-out users whose histories are among the bundle's golden vectors. Context
    categories are uniform. Rows are padded on the left to the longest of their call, as a caller would.
    """
    rng = np.random.default_rng([seed, case.batch_size, case.length, case.candidates])
    manifest, batch = bundle.manifest, case.batch_size
    popular = rng.permutation(manifest.items.count) + 1
    shares = np.cumsum(1.0 / np.arange(1, manifest.items.count + 1))
    lengths = np.array([case.length]) if case.length else measured_lengths(bundle)

    def draw(columns: int) -> Array:
        places = np.searchsorted(shares, rng.random((batch, columns)) * shares[-1])
        return popular[np.minimum(places, len(popular) - 1)]

    calls = []
    for number in range(pool_size(case)):
        wanted = rng.choice(lengths, size=batch)
        width = int(wanted.max())
        items = draw(width)
        items[np.arange(width) < width - wanted[:, None]] = 0
        context = np.zeros((batch, len(manifest.context)), dtype=np.int64)
        for column, facts in enumerate(manifest.context.values()):
            context[:, column] = rng.integers(1, facts.count + 1, size=batch)
        candidates = draw(max(case.candidates, 1))
        calls.append(Call(f"drawn_{number}", items, context, candidates, manifest.settings.top_k.limit))
    return calls


def draw_inputs(bundle: Bundle, signature: str, case: Case, seed: int = 0) -> list[dict[str, Array]]:
    """Draw calls (see `draw_calls`) as `signature` of `bundle` takes them."""
    stated = bundle.manifest.signature(signature)
    return [call.inputs(stated, bundle.vocabularies) for call in draw_calls(bundle, case, seed)]


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
