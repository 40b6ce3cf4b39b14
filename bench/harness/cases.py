"""The inputs that are timed: many different rows, of a user's kind, the same for every backend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.record.record import MAX_POOL, Case
from export import Bundle
from export.contract.inputs import Array
from export.proof.golden import Call, read_golden

# One repeated row would stay in the cache, unlike real traffic; the check of all answers limits the pool.
MIN_POOL = 8
POOL_ROWS = 1024
POOL_SCORES = 64_000_000
STRIDE = 37  # rounds begin at different inputs; a prime, so that every input comes first in some round


def pool_size(case: Case, most: int = MAX_POOL) -> int:
    """Return the number of different calls drawn for a case, `MIN_POOL` to `most`."""
    rows = min(POOL_ROWS, POOL_SCORES // case.num_items)
    return int(np.clip(rows // case.batch_size, MIN_POOL, most))


def first_input(launch: int, number: int, pool: int) -> int:
    """Return the first input of round `number` of `launch`; launches have fewer than a thousand rounds."""
    return (launch * 1009 + number) * STRIDE % pool


def draw_calls(bundle: Bundle, case: Case, seed: int = 0, most: int = MAX_POOL) -> list[Call]:
    """Draw the calls of a case, by index, `pool_size` of them. The first are the same whatever `most` is.

    A row is a part of the history of a held-out user of the bundle's golden vectors, with the user's context, because
    random items would give other answers, and maybe other costs. An eighth of the part is left out, so that rows
    differ. Lengths, where the case does not fix them, are those of such histories; a history that is too short is
    repeated. Candidates follow a Zipf law with exponent 1 over the catalogue in random order. Rows
    are padded on the left to the longest of their call, as a caller would.
    """
    rng = np.random.default_rng([seed, case.batch_size, case.length, case.candidates])
    manifest, batch = bundle.manifest, case.batch_size
    histories, contexts = held_out(bundle)
    lengths = np.array([case.length]) if case.length else measured_lengths(bundle)
    popular = rng.permutation(manifest.items.count) + 1
    shares = np.cumsum(1.0 / np.arange(1, manifest.items.count + 1))

    calls = []
    for number in range(pool_size(case, most)):
        users = rng.integers(0, len(histories), size=batch)
        row_lengths = rng.choice(lengths, size=batch)
        width = int(row_lengths.max())
        items = np.zeros((batch, width), dtype=np.int64)
        for row, user, length in zip(items, users, row_lengths, strict=True):
            chosen = np.sort(rng.choice(length + length // 7 + 1, length, replace=False))
            row[width - length :] = histories[user].take(rng.integers(0, len(histories[user])) + chosen, mode="wrap")
        places = np.searchsorted(shares, rng.random((batch, max(case.candidates, 1))) * shares[-1])
        candidates = popular[np.minimum(places, len(popular) - 1)]
        calls.append(Call(f"drawn_{number}", items, contexts[users], candidates, manifest.settings.top_k.limit))
    return calls


def draw_inputs(
    bundle: Bundle, signature: str, case: Case, seed: int = 0, most: int = MAX_POOL
) -> list[dict[str, Array]]:
    """Draw calls (see `draw_calls`) as `signature` of `bundle` takes them."""
    spec = bundle.manifest.signature(signature)
    return [call.inputs(spec, bundle.vocabularies) for call in draw_calls(bundle, case, seed, most)]


def measured_lengths(bundle: Bundle) -> NDArray[np.int64]:
    """Return the lengths of the histories of held-out users."""
    return np.array([len(history) for history in held_out(bundle)[0]])


def held_out(bundle: Bundle) -> tuple[list[Array], Array]:
    """Return histories and contexts of held-out users, by index, that are not empty: the largest batch among the
    golden vectors of the main signature.
    """
    manifest, vocabularies = bundle.manifest, bundle.vocabularies
    signature = manifest.main_signature()
    golden = read_golden(bundle.path / "golden", signature)
    users = [call.inputs for call in golden if call.name.startswith("users_")] or [call.inputs for call in golden]
    name, longest = signature.inputs[0].name, manifest.model.max_length
    whole = [inputs for inputs in users if inputs[name].shape[1] == longest] or users
    inputs = max(whole, key=lambda arrays: len(arrays[name]))
    if manifest.ids == "raw":
        items = vocabularies.items.indices(inputs[name].ravel().tolist()).reshape(inputs[name].shape)
        columns = [vocabulary.indices(inputs[feature].tolist()) for feature, vocabulary in vocabularies.context.items()]
        contexts = np.stack(columns, axis=1) if columns else np.zeros((len(items), 0), dtype=np.int64)
    else:
        items = inputs[name]
        contexts = inputs.get("context", np.zeros((len(items), 0), dtype=np.int64))
    real = [row[(row > 0) & (row <= manifest.items.count)] for row in items]
    there = [place for place, row in enumerate(real) if len(row)]
    return [real[place] for place in there], contexts[there]
