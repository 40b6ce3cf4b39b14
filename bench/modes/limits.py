"""The limits of a machine: the bytes and operations that a call needs, over the rates measured on this machine.

The floor of a call is max(bytes / bandwidth, operations / matrix-product rate): the roofline bound (Williams, Waterman
& Patterson 2009), which no order of work beats. It counts only unavoidable work: every weight read once a call, the
embedding rows of the call's items, the outputs written; multiplications and additions of matrix products alone, for
real items alone, and in the last block of a model that pools the newest state, for that state alone. Where `top_k`
looks into a compact copy of the output layer first, the bytes are those of the copy and of the rows that it gives.
Bandwidth is measured at that size, for small models live in the cache, where memory's own bandwidth is no bound.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch

from bench.record.record import Rate
from bst.config import BSTConfig
from export.contract.choices import ShortlistRecord
from export.contract.signatures import SIGNATURES
from export.proof.golden import Call

FLOAT_BYTES = 4
MATRIX = 1024
MIN_BYTES = 2**18


@dataclass(frozen=True)
class Work:
    """The least work of a call: bytes moved, floating-point operations (a multiply-add is two)."""

    moved_bytes: int
    operations: int


def work_of(config: BSTConfig, signature: str, call: Call, shortlist: ShortlistRecord | None = None) -> Work:
    """Count the work of a call of `signature`; `top_k` looks for its items as `shortlist` says."""
    if not config.scores_catalogue:
        return _work_of_clicks(config, call)
    batch, num_items = len(call.items), config.num_items
    lengths = (call.items > 0).sum(axis=1).astype(np.int64)
    rows = len(np.unique(call.items[call.items > 0]))
    encoder = sum(_encoder_operations(config, int(length)) for length in lengths)
    operations = encoder + batch * _head_operations(config)
    numbers = config.encoder_weights + rows * config.dim + sum(batch * feature.dim for feature in config.context)
    numbers += int(lengths.sum()) * config.dim * len(config.event_features) + batch * len(config.numbers)
    kind = SIGNATURES.find(signature)
    if not kind.of_catalogue:
        numbers += batch * config.user_width
    elif kind.takes_candidates:
        operations += 2 * call.candidates.size * config.user_width
        numbers += len(np.unique(call.candidates)) * (config.user_width + 1) + call.candidates.size
    elif kind.picks and shortlist and (scan := shortlist.scan(batch)):
        rows_given = batch * call.k * (config.user_width + 1)
        beside = 2 * FLOAT_BYTES  # step and bias of an item
        return Work(num_items * (scan.coordinates + beside) + FLOAT_BYTES * (numbers + rows_given), operations)
    else:
        operations += 2 * batch * num_items * config.user_width
        numbers += output_numbers(config) - (rows * config.dim if config.tied_output else 0)
        numbers += batch * (2 * call.k if kind.picks else num_items)
    return Work(FLOAT_BYTES * numbers, operations)


def output_numbers(config: BSTConfig) -> int:
    """Return the number of weights of the output layer."""
    return config.num_items * (config.user_width + 1)


def _head_operations(config: BSTConfig) -> int:
    """Return the operations a row of the network between pooling and output layer."""
    return 2 * sum(width * following for width, following in pairwise(config.head_sizes))


def _encoder_operations(config: BSTConfig, length: int) -> int:
    """Return the operations for `length` real items; causal, so a query sees those up to itself."""
    dim, wide = config.dim, config.ff_width

    def block(queries: int, seen: int) -> int:
        projections = 2 * length * dim * 2 * dim + queries * 2 * dim * 2 * dim  # keys and values; queries and result
        # Or none of keys and values: each head's query, and what it gives, is as wide as the states themselves.
        moved = queries * config.num_heads * 2 * dim * 2 * dim + 2 * 2 * config.num_heads * seen * dim
        return min(projections + 2 * 2 * seen * dim, moved) + queries * 2 * 2 * dim * wide

    whole = block(length, length * (length + 1) // 2)
    last = block(min(length, 1), length) if config.pooling == "last" else whole
    return (config.num_blocks - 1) * whole + last


def _work_of_clicks(config: BSTConfig, call: Call) -> Work:
    """Count the work of a call of a click model: that of the history, and that of each other sequence, with its part of
    the first layer of the head.
    """
    encoders = [(config, config.head_sizes, call.items)]
    for sequence, encoder in zip(config.sequences, config.encoder_configs, strict=True):
        encoders.append((encoder, encoder.head_sizes[:2], call.beside[sequence.name]))
    numbers, operations = config.encoder_weights + 2 * call.candidates.size, 0
    for encoder, widths, items in encoders:
        lengths = (items > 0).sum(axis=1)
        operations += sum(
            click_operations(encoder, widths, int(length), call.candidates.shape[1]) for length in lengths
        )
        numbers += (len(np.unique(items[items > 0])) + len(np.unique(call.candidates))) * encoder.dim
    return Work(FLOAT_BYTES * numbers, operations)


def click_operations(config: BSTConfig, widths: tuple[int, ...], length: int, candidates: int) -> int:
    """Return the operations of a click model for `length` real items and some candidates, with a head of `widths`.

    Where the history is computed once, a candidate is a row in each block that reads its keys and values.
    """
    dim, wide = config.dim, config.ff_width
    of_user = 2 * config.width_beside * widths[1]
    of_candidate = 2 * sum(width * following for width, following in pairwise(widths)) - of_user
    row = 2 * (4 * dim * dim + 2 * dim * wide)  # projections and feed-forward
    if not config.history_once:
        sequence = (length + 1) * row + 4 * dim * (length + 1) ** 2
        return of_user + candidates * (config.num_blocks * sequence + of_candidate)
    whole_blocks = config.num_blocks - (config.pooling == "target")
    keys_and_values = config.num_blocks * 2 * length * 2 * dim * dim
    history = keys_and_values + whole_blocks * (length * (row - 4 * dim * dim) + 2 * dim * length * (length + 1))
    read = row + 4 * dim * (length + 1)
    return of_user + history + candidates * (config.num_blocks * read + of_candidate)


def floor_us(works: Sequence[Work], bandwidth: float, products: float) -> float:
    """Return the median over calls of the least time that each can take, microseconds."""
    return 1e6 * float(np.median([max(work.moved_bytes / bandwidth, work.operations / products) for work in works]))


def working_set(works: Sequence[Work]) -> int:
    """Return the bytes that a call moves, rounded up to a power of two: the size at which bandwidth is measured."""
    return max(MIN_BYTES, 1 << (max(work.moved_bytes for work in works) - 1).bit_length())


def measure_rates(threads: int, sets: Sequence[int], seconds: float, device: str = "cpu") -> list[tuple[int, float]]:
    """Measure in this process, each kernel for `seconds`: `(working set, bytes/s)` of `sets`, then `(0, operations/s)`.

    Bytes are those that a copy reads and writes, or a matrix-vector product reads, whichever is faster; operations
    those of a float32 product of matrices `[1024, 1024]`.
    """
    torch.set_num_threads(threads)
    rates = []
    with torch.inference_mode():
        for size in sets:
            half = torch.ones(size // 2 // FLOAT_BYTES, device=device)
            to = torch.empty_like(half)
            matrix = torch.ones(size // FLOAT_BYTES // 256, 256, device=device)
            vector = torch.ones(256, device=device)
            kernels = partial(to.copy_, half), partial(torch.mv, matrix, vector)
            rates.append((size, size / min(_fastest(kernel, seconds, device) for kernel in kernels)))
        square = torch.ones(MATRIX, MATRIX, device=device)
        rates.append((0, 2 * MATRIX**3 / _fastest(partial(torch.mm, square, square), seconds, device)))
    return rates


def _fastest(kernel: Callable[[], object], seconds: float, device: str) -> float:
    """Return the seconds of the fastest call: a limit is the time without disturbance."""

    def finish() -> None:
        if device != "cpu":
            torch.cuda.synchronize(device)

    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        kernel()
        finish()
        best = min(best, time.perf_counter() - started)
    return best


def rates_of(launches: Sequence[Sequence[tuple[int, float]]], threads: int, device: str) -> list[Rate]:
    """Join the results of `measure_rates` of every launch: the fastest counts, and the spread is kept."""
    joined = []
    for measurements in zip(*launches, strict=True):
        size, speeds = measurements[0][0], [speed for _, speed in measurements]
        joined.append(
            Rate(
                what="bytes" if size else "operations",
                threads=threads,
                device=device,
                working_set_bytes=size,
                per_s=max(speeds),
                spread=max(speeds) / min(speeds) - 1,
            )
        )
    return joined
