"""The inputs that are timed: many different rows, of a user's kind, the same for every backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.record.record import MAX_POOL, Case
from bst.config import InputGroup
from bst.data.vocabulary import Vocabulary
from export import Bundle
from export.contract.inputs import Array
from export.proof.golden import Call, read_golden

# One repeated row would stay in the cache, unlike real traffic; the check of all answers limits the pool.
MIN_POOL = 8
POOL_ROWS = 1024
POOL_SCORES = 64_000_000
POOL_CANDIDATES = 10_000  # each may be a sequence of its own
STRIDE = 37  # rounds begin at different inputs; a prime, so that every input comes first in some round


def pool_size(case: Case, most: int = MAX_POOL) -> int:
    """Return the number of different calls drawn for a case, `MIN_POOL` to `most`."""
    rows = min(POOL_ROWS, POOL_SCORES // case.num_items, POOL_CANDIDATES // max(case.candidates, 1))
    return int(np.clip(rows // case.batch_size, MIN_POOL, most))


def first_input(launch: int, number: int, pool: int) -> int:
    """Return the first input of round `number` of `launch`; launches have fewer than a thousand rounds."""
    return (launch * 1009 + number) * STRIDE % pool


def draw_calls(bundle: Bundle, case: Case, seed: int = 0, most: int = MAX_POOL) -> list[Call]:
    """Draw the calls of a case, by index, `pool_size` of them. The first are the same whatever `most` is.

    A row is a part of the history of a held-out user of the bundle's golden vectors, with the user's context, because
    random items would give other answers, and maybe other costs. An eighth of the part is left out, so that rows
    differ. Lengths, where the case does not fix them, are those of such histories; a history that is too short is
    repeated. Candidates follow a Zipf law with exponent 1 over the catalogue in random order; what is known of them is
    random. Rows are padded on the left to the longest of their call, as a caller would.
    """
    rng = np.random.default_rng([seed, case.batch_size, case.length, case.candidates])
    manifest, batch = bundle.manifest, case.batch_size
    users_held_out = held_out(bundle)
    histories = users_held_out.histories
    lengths = np.array([case.length]) if case.length else measured_lengths(bundle)
    popular = rng.permutation(manifest.items.count) + 1
    shares = np.cumsum(1.0 / np.arange(1, manifest.items.count + 1))

    calls = []
    for number in range(pool_size(case, most)):
        users = rng.integers(0, len(histories), size=batch)
        row_lengths = rng.choice(lengths, size=batch)
        width = int(row_lengths.max())
        items = np.zeros((batch, width), dtype=np.int64)
        beside = users_held_out.rows(users, width)
        for row, (user, length) in enumerate(zip(users, row_lengths, strict=True)):
            chosen = np.sort(rng.choice(length + length // 7 + 1, length, replace=False))
            places = rng.integers(0, len(histories[user])) + chosen
            items[row, width - length :] = histories[user].take(places, mode="wrap")
            for name, values in users_held_out.per_event.items():
                beside[name][row, width - length :] = values[user].take(places, axis=0, mode="wrap")
        places = np.searchsorted(shares, rng.random((batch, max(case.candidates, 1))) * shares[-1])
        candidates = popular[np.minimum(places, len(popular) - 1)]
        for group in manifest.model.candidate_inputs:
            columns = [rng.integers(1, count + 1, candidates.shape) for count in group.counts(manifest.model)]
            beside[group.name] = np.stack(columns, axis=-1)
        limit = manifest.settings.top_k.limit
        calls.append(Call(f"drawn_{number}", items, beside.pop("context"), candidates, limit, beside))
    return calls


def draw_inputs(
    bundle: Bundle, signature: str, case: Case, seed: int = 0, most: int = MAX_POOL
) -> list[dict[str, Array]]:
    """Draw calls (see `draw_calls`) as `signature` of `bundle` takes them."""
    spec = bundle.manifest.signature(signature)
    return [call.inputs(spec, bundle.vocabularies) for call in draw_calls(bundle, case, seed, most)]


def measured_lengths(bundle: Bundle) -> NDArray[np.int64]:
    """Return the lengths of the histories of held-out users."""
    return np.array([len(history) for history in held_out(bundle).histories])


@dataclass(frozen=True)
class HeldOut:
    """Held-out users by index.

    Attributes:
        histories: of each user, int64 `[length]`, without padding.
        per_event: what stands beside each history, by the names of `INPUT_GROUPS`, a list of arrays as long as those.
        per_request: what belongs to the request, arrays with a row a user; `context` among them.
    """

    histories: list[Array]
    per_event: dict[str, list[Array]]
    per_request: dict[str, Array]

    def rows(self, users: Array, width: int) -> dict[str, Array]:
        """Return what belongs to the requests of `users`, and room for `width` events each."""
        room = {
            name: np.zeros((len(users), width, *values[0].shape[1:]), dtype=values[0].dtype)
            for name, values in self.per_event.items()
        }
        return {**{name: values[users] for name, values in self.per_request.items()}, **room}


def held_out(bundle: Bundle) -> HeldOut:
    """Return held-out users whose histories are not empty: the largest batch among the golden vectors of the main
    signature.
    """
    manifest, vocabularies = bundle.manifest, bundle.vocabularies
    signature = manifest.main_signature()
    golden = read_golden(bundle.path / "golden", signature)
    users = [call.inputs for call in golden if call.name.startswith("users_")] or [call.inputs for call in golden]
    name, longest = signature.inputs[0].name, manifest.model.max_length
    whole = [inputs for inputs in users if inputs[name].shape[1] == longest] or users
    inputs = max(whole, key=lambda arrays: len(arrays[name]))
    items = inputs[name]
    by_index = {group.name: inputs[group.name] for group in manifest.model.inputs if group.name in inputs}
    if manifest.ids == "raw":
        items = _indices(vocabularies.items, items)
        by_index = {group.name: _by_index(group, inputs, bundle) for group in manifest.model.inputs}
    by_index.setdefault("context", np.zeros((len(items), 0), dtype=np.int64))
    real = (items > 0) & (items <= manifest.items.count)
    there = np.flatnonzero(real.any(axis=1))
    per_event = {group.name for group in manifest.model.inputs if group.per_event}
    return HeldOut(
        [items[row][real[row]] for row in there],
        {name: [by_index[name][row][real[row]] for row in there] for name in per_event},
        {name: values[there] for name, values in by_index.items() if name not in per_event},
    )


def _by_index(group: InputGroup, inputs: Mapping[str, Array], bundle: Bundle) -> Array:
    vocabularies, names = bundle.vocabularies.of(group), group.names(bundle.manifest.model)
    columns = [_indices(vocabularies[name], inputs[name]) if vocabularies else inputs[name] for name in names]
    return np.stack(columns, axis=-1) if group.stacked else columns[0]


def _indices(vocabulary: Vocabulary, raw: Array) -> Array:
    return vocabulary.indices(raw.ravel().tolist()).reshape(raw.shape)
