"""Compact copies of the output layer, with bounds that show which items can be among the best.

A score is `s_j = b_j + u w_j` for user vector u. Written from a centre c, `s_j = b'_j + d w_j` with `d = u - c` and
`b'_j = b_j + c w_j`. Both d and w_j are cut to the few coordinates that matter most, `y = d P` and `x_j = w_j P`; of
the rest only the lengths are kept, so that by Cauchy and Schwarz

    s_j <= b'_j + y x_j + |d - y P'| |w_j - x_j P'|.

The rows x_j are rounded to seven bits; that costs at most `|y| |error_j|`, and rounding y in the same product at most
half a step a coordinate. Both lengths of an item stand behind its row as coordinates of their own, rounded up. So one
product of small integers gives an upper bound of every score. The error of float32 itself is bounded by `slack`. An
item whose bound and slack stay below the k-th best of any exact scores cannot be among the k best.

Seven bits and not eight, because x86 CPUs without VNNI add two products of bytes in 16 bits and saturate.

Shape letters: B batch, U user width, R coordinates kept, K coordinates stored, V items of the catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
LEVELS = 63  # of a stored coordinate, on each side of zero
USER_LEVELS = 127  # of a coordinate of the user, as ONNX Runtime rounds it and as the graph does
HALF_STEP = 0.505 / USER_LEVELS  # of the largest coordinate: how far rounding moves one, with room for its own rounding
# n float32 additions are off by more than 8 sqrt(n) epsilon with a probability below 1e-13 (Higham & Mary 2019).
EPSILON = 8 * 2.0**-24
BLOCK = 128  # coordinates that ONNX Runtime rounds together
EXTRA = 8  # room for the lengths
WIDE = 256  # user width from which on turning all of it costs more than it brings
CHUNK = 16_384  # rows that are worked on at a time
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Scan:
    """A compact copy of the output layer.

    Attributes:
        centre: float32 `[U]`.
        projection: P, float32 `[U, R]` with orthonormal columns, or None where all coordinates are kept.
        spread: float32 `[R, R]`, or factors `[R]`: multiplied with y it brings users and items to the same scale, where
            rounding costs least.
        rest_weights: float32 `[K - R]`: how much of |d - y P'| stands in each of the last coordinates.
        error_weights: float32 `[K - R]`: how much of |y| + `peak_weight` times the largest coordinate stands there.
        peak_weight: see `error_weights`.
        table: int8 `[K, V]`: the rounded items, divided by
        steps: float32 `[V]`.
        biases: float32 `[V]`, b'.
        slack_of_norm: slack for every unit of |d|.
        slack_of_peak: slack for every unit of the largest coordinate of the user.
        slack: added to every bound.
        lost: share of |d|^2, added to the square of the rest: the error of its computation as a difference.
    """

    centre: Floats
    projection: Floats | None
    spread: Floats
    rest_weights: Floats
    error_weights: Floats
    peak_weight: float
    table: NDArray[np.int8]
    steps: Floats
    biases: Floats
    slack_of_norm: float
    slack_of_peak: float
    slack: float
    lost: float

    @property
    def coordinates(self) -> int:
        return self.table.shape[0]

    @property
    def block(self) -> int:
        """The number of coordinates that share a step in a blocked DequantizeLinear: a power of two that divides
        them all.
        """
        return math.gcd(self.coordinates, BLOCK)

    def user_coordinates(self, vectors: Floats) -> Floats:
        """Return the factors of the table for `vectors` `[B, U]`: float32 `[B, K]`."""
        moved = vectors - self.centre
        if self.projection is None:
            projected, rest = moved, np.zeros(len(moved), dtype=np.float32)
        else:
            projected = moved @ self.projection
            squares = (moved**2).sum(axis=1)
            rest = np.sqrt(np.maximum(squares - (projected**2).sum(axis=1), 0) + np.float32(self.lost) * squares)
        spread = projected * self.spread if self.spread.ndim == 1 else projected @ self.spread
        rests = rest[:, None] * self.rest_weights
        peak = np.abs(np.concatenate([spread, rests], axis=1)).max(axis=1)
        errors = np.linalg.norm(spread, axis=1) + np.float32(self.peak_weight) * peak
        coordinates: Floats = np.concatenate([spread, rests + errors[:, None] * self.error_weights], axis=1)
        return coordinates

    def bounds(self, vectors: Floats) -> tuple[Floats, Floats]:
        """Return upper bounds `[B, V]` of the scores, but for a slack `[B]`; float32. As the graph computes them."""
        coordinates = self.user_coordinates(vectors)
        peaks = np.abs(coordinates).max(axis=1)
        step = np.maximum(peaks / USER_LEVELS, TINY)[:, None]
        rounded = torch.from_numpy(np.rint(coordinates / step) * step)
        products = np.concatenate(
            [
                (rounded @ torch.from_numpy(self.table[:, part].astype(np.float32))).numpy() * self.steps[part]
                for part in _chunks(self.table.shape[1])
            ],
            axis=1,
        )
        norms = np.linalg.norm(vectors - self.centre, axis=1)
        return products + self.biases, norms * self.slack_of_norm + peaks * self.slack_of_peak + self.slack


def make_scan(weights: Floats, biases: Floats, vectors: Floats, coordinates: int) -> Scan:
    """Copy an output layer `[V, U]` with `biases` `[V]`, for users like `vectors` `[B, U]`.

    `vectors` decide how tight the bounds are, not whether they hold.

    Args:
        coordinates: the number to store, a multiple of 16; if it exceeds the user width, all of them are kept.
    """
    width, count = weights.shape[1], len(weights)
    centre = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    moved = vectors - centre
    rank = min(coordinates - EXTRA, width)
    projection = _projection(weights, moved, rank) if rank < width else None
    spread, back = _spread(weights, moved, projection)
    unit = 64 if rank > 256 else 16  # ONNX Runtime rounds the user in blocks of a power of two; small ones are slower
    room = -(-(rank + EXTRA) // unit) * unit - rank
    rests, rest_gain, rest_weights = _rest_room(weights, moved, projection, spread, back, room)
    peak_weight = 55 * HALF_STEP * math.sqrt(rank)  # where both errors are the same for an item drawn from a normal law
    least = 1 / (math.sqrt(rank) + peak_weight)  # with this weight, |y| never stands out of the coordinates
    error_places = np.arange(rests, min(rests + EXTRA, room))
    error_gain = 1 / (least * len(error_places))
    error_weights = np.zeros(room, dtype=np.float32)
    error_weights[error_places] = least * (1 - 1e-6)

    table = np.zeros((rank + room, count), dtype=np.int8)
    steps, moved_biases, extras, lengths = (np.zeros(count) for _ in range(4))
    for part in _chunks(count):
        rows = weights[part].astype(np.float64)
        flat = rows if projection is None else rows @ projection.astype(np.float64)
        squares = (rows**2).sum(axis=1)
        rest = np.sqrt(np.maximum(squares - (flat**2).sum(axis=1), 0) + 1e-9 * squares) if rests else 0 * squares
        x = flat * back if back.ndim == 1 else flat @ back
        largest = np.maximum(np.abs(x).max(axis=1), rest * rest_gain)
        step = np.maximum(largest / LEVELS, TINY).astype(np.float32).astype(np.float64)
        levels, error = _rounded(x, step, peak_weight)
        while (crowded := error * error_gain > LEVELS * step).any():  # rows whose coordinates are all large alike
            step = np.where(crowded, 2 * step, step)
            levels, error = _rounded(x, step, peak_weight)
        table[:rank, part] = levels.T
        table[rank : rank + rests, part] = np.ceil(rest * rest_gain / step)
        table[rank + error_places, part] = np.ceil(error * error_gain / step)
        steps[part], lengths[part] = step, np.linalg.norm(x, axis=1)
        moved_biases[part] = biases[part] + rows @ centre.astype(np.float64)
        extras[part] = step * table[rank:, part].sum(axis=0, dtype=np.int64)
    return Scan(
        centre=centre,
        projection=projection,
        spread=spread,
        rest_weights=rest_weights,
        error_weights=error_weights,
        peak_weight=peak_weight,
        table=table,
        steps=steps.astype(np.float32),
        biases=moved_biases.astype(np.float32),
        slack_of_norm=_float_error(width, rank, spread, back) * float(lengths.max()),
        slack_of_peak=HALF_STEP * float(extras.max()),
        slack=EPSILON * float(np.abs(moved_biases).max()),
        lost=0.0 if projection is None else EPSILON * 4 * math.sqrt(width),
    )


def best_scores(weights: Floats, biases: Floats, vectors: Floats, k: int) -> Floats:
    """Return the k-th best score of each of `vectors` `[B, U]`: float32 `[B, 1]`."""
    users = torch.from_numpy(vectors)
    best = np.full((len(vectors), k), -np.inf, dtype=np.float32)
    for part in _chunks(len(weights)):
        scores = (users @ torch.from_numpy(weights[part]).T).numpy() + biases[part]
        best = np.partition(np.concatenate([best, scores], axis=1), -k, axis=1)[:, -k:]
    kth: Floats = best.min(axis=1, keepdims=True)
    return kth


def _rounded(x: Doubles, step: Doubles, peak_weight: float) -> tuple[Doubles, Doubles]:
    """Round rows to multiples of `step`: the multiples, and a bound on the error of this and of rounding the user."""
    levels = np.clip(np.rint(x / step[:, None]), -LEVELS, LEVELS)
    of_items = np.linalg.norm(x - levels * step[:, None], axis=1)
    of_users = step * np.abs(levels).sum(axis=1) * HALF_STEP / peak_weight
    return levels, np.maximum(of_items, of_users)


def _moments(rows: Floats) -> Doubles:
    sums = np.zeros((rows.shape[1], rows.shape[1]))
    for part in _chunks(len(rows)):
        some = torch.from_numpy(rows[part])
        sums += (some.T @ some).numpy() / len(rows)
    return sums


def _projection(weights: Floats, moved: Floats, rank: int) -> Floats:
    """Return the subspace outside of which there is least of users and items: float32 `[U, rank]`, orthonormal.

    Bounds lose the product of both rests, so the sum of their logarithms is what to minimise: eigenvectors of the sum
    of both second moments, each divided by its own rest, found by iteration.
    """
    both = [_moments(moved), _moments(weights)]
    totals = [max(float(np.trace(moments)), TINY) for moments in both]
    rests = totals
    vectors = np.eye(weights.shape[1])
    for _ in range(4):
        vectors = np.linalg.eigh(both[0] / rests[0] + both[1] / rests[1])[1][:, ::-1]
        outside = vectors[:, rank:]
        outside_moments = [float(np.einsum("ij,ij->", outside, moments @ outside)) for moments in both]
        rests = [max(rest, 1e-6 * total) for rest, total in zip(outside_moments, totals, strict=True)]
    return np.ascontiguousarray(vectors[:, :rank], dtype=np.float32)


def _spread(weights: Floats, moved: Floats, projection: Floats | None) -> tuple[Floats, Doubles]:
    """Return a factor for y, whose inverse is x's, so that their product stays and rounding costs least.

    The cost is `|y| |x|`. It is least where users and items have the same second moments, which the geometric mean of
    the one's inverse and the other gives (Pusz & Woronowicz 1975). A random rotation then makes all coordinates of
    similar size, so that few levels serve all of them. Without a projection and with a large user width that product
    costs too much, and each coordinate has a factor instead.
    """
    if projection is None and weights.shape[1] > WIDE:
        of_users, of_items = (np.sqrt((rows.astype(np.float64) ** 2).mean(axis=0)) for rows in (moved, weights))
        floors = [max(0.01 * float(scale.max()), TINY) for scale in (of_users, of_items)]
        factors = np.sqrt(np.maximum(of_items, floors[1]) / np.maximum(of_users, floors[0])).astype(np.float32)
        return factors, 1 / factors.astype(np.float64)
    users, items = _moments(moved), _moments(weights)
    if projection is not None:
        users, items = (projection.T.astype(np.float64) @ moments @ projection for moments in (users, items))
    size = len(users)
    users += np.eye(size) * max(1e-3 * float(np.trace(users)) / size, TINY)
    items += np.eye(size) * max(1e-3 * float(np.trace(items)) / size, TINY)
    root, inverse = _power(users, 0.5), _power(users, -0.5)
    middle = _power(inverse @ _power(root @ items @ root, 0.5) @ inverse, 0.5)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((size, size)))[0]
    spread = (middle @ turn).astype(np.float32)
    return spread, np.linalg.inv(spread.astype(np.float64)).T


def _power(matrix: Doubles, exponent: float) -> Doubles:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    result: Doubles = (vectors * np.maximum(values, TINY) ** exponent) @ vectors.T
    return result


def _rest_room(
    weights: Floats, moved: Floats, projection: Floats | None, spread: Floats, back: Doubles, room: int
) -> tuple[int, float, Floats]:
    """Return the number of coordinates of the rest, and the factors for items and for users."""
    shares = np.zeros(room, dtype=np.float32)
    if projection is None:
        return 0, 0.0, shares
    sample = weights[:: max(1, len(weights) // CHUNK)]
    items, users = sample @ projection, moved @ projection
    rest_of_items = np.sqrt(np.maximum((sample**2).sum(axis=1) - (items**2).sum(axis=1), 0))
    rest_of_users = np.sqrt(np.maximum((moved**2).sum(axis=1) - (users**2).sum(axis=1), 0))
    largest = np.abs(items @ back).max(axis=1)
    gain = float(np.quantile(largest / np.maximum(np.maximum(rest_of_items, 1e-3 * largest), TINY), 0.1)) or 1.0
    ratios = rest_of_users / np.maximum(np.abs(users @ spread).max(axis=1), TINY) / gain
    copies = max(1, min(room // 2, math.ceil(float(np.quantile(ratios, 0.9)))))
    shares[:copies] = 1 / (gain * copies)
    return copies, gain, shares


def _float_error(width: int, rank: int, spread: Floats, back: Doubles) -> float:
    """Bound the error of float32 in a product of user and item, for every unit of |d| and of |x|."""
    largest = float(spread.max()) if spread.ndim == 1 else float(np.linalg.norm(spread, 2))
    steps = math.sqrt(rank) if spread.ndim == 1 else math.sqrt(rank) * (math.sqrt(width) + math.sqrt(rank))
    return EPSILON * steps * largest


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, CHUNK):
        yield slice(start, min(start + CHUNK, count))
