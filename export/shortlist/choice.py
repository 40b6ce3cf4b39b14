"""The choice of compact copies of the output layer, by their estimated cost for the model's held-out users.

Times are in microseconds, by the rates of `export.shortlist.rates`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bst.model import BST
from bst.run.heldout import Heldout
from export.contract.choices import ZEN_4, Rates, ScanRecord, ShortlistRecord
from export.shortlist.bounds import EXTRA, WIDE, Floats, Scan, best_scores, make_scan

COORDINATES = (128, 256, 384, 512, 768)
FIRST = (32, 64, 128, 192, 256, 384, 512)
SAMPLE = 32_768  # items on which the bounds that are too high are counted
FIT, TRIED = 2048, 128  # user vectors to fit a copy to, and to test it on
FEW_ROWS = 2  # up to so many rows, the product of blocks is faster than that of integers
FEW_ROWS_BEFORE_PLAIN = 1  # and than the output layer itself, where that is faster for many rows
MANY = 32  # rows for which the copy for many is chosen


@dataclass(frozen=True)
class Shortlist:
    """The way `top_k` finds its items, in a call of up to `few_rows` rows and in one of more.

    `first` and `many_first` are the numbers of items that are scored before the check whether these were enough.
    Without `many`, calls of more rows read the output layer itself.
    """

    few: Scan
    first: int
    few_rows: int
    many: Scan | None
    many_first: int

    def record(self) -> ShortlistRecord:
        """Return the record of it in the manifest."""
        many = None if self.many is None else ScanRecord(coordinates=self.many.coordinates, first=self.many_first)
        few = ScanRecord(coordinates=self.few.coordinates, first=self.first)
        return ShortlistRecord(few_rows=self.few_rows, few=few, many=many)


def choose_shortlist(
    model: BST, heldout: Heldout, limit: int, *, exclude_history: bool, rates: Rates = ZEN_4
) -> Shortlist | None:
    """Choose for calls of few rows and of many, or the output layer itself where reading it costs less.

    Items of a history that is left out have high scores, so the shortlist has room for them.
    """
    weights, biases = (part.detach().numpy() for part in model.output_layer())
    count, width = weights.shape
    room = limit + (heldout.items.shape[1] if exclude_history else 0)
    if count <= 4 * (room + FIRST[0]):
        return None
    fitted, samples = _user_vectors(model, heldout)
    least = best_scores(weights, biases, samples, limit)
    picked = np.random.default_rng(0).permutation(count)[:SAMPLE]
    picked.sort()
    sample, sample_biases = np.ascontiguousarray(weights[picked]), np.ascontiguousarray(biases[picked])
    tables = [size for size in COORDINATES if size < width] + [width + EXTRA]
    needs = {}
    for size in tables:
        scan = make_scan(sample, sample_biases, fitted, size)
        bounds, slack = scan.bounds(samples)
        needs[size] = (bounds + slack[:, None] >= least).sum(axis=1) * (count / len(picked))
    sizes = [first for first in FIRST if room < first <= count // 4] or [min(2 * room, count)]
    costs = _Costs(count, width, rates)
    choices = [(size, first) for size in tables for first in sizes]
    (few_cost, few), (many_cost, many) = (
        min((cost(size, first, needs[size]), (size, first)) for size, first in choices)
        for cost in (costs.few, costs.many)
    )
    if few_cost > costs.plain(1):
        return None
    pays_for_many = many_cost < costs.plain(MANY)
    scans = {size: make_scan(weights, biases, fitted, size) for size in {few[0], *(many[:1] if pays_for_many else ())}}
    return Shortlist(
        few=scans[few[0]],
        first=few[1],
        few_rows=FEW_ROWS if pays_for_many else FEW_ROWS_BEFORE_PLAIN,
        many=scans[many[0]] if pays_for_many else None,
        many_first=many[1],
    )


@dataclass(frozen=True)
class _Costs:
    """Microseconds that a call takes, besides the encoder."""

    count: int
    width: int
    rates: Rates

    def plain(self, rows: int) -> float:
        """Cost of the output layer itself: its bytes, or its operations."""
        rates, numbers = self.rates, self.width * self.count
        read = 4 * numbers / (rates.cached_bytes if 4 * numbers < rates.cache_bytes else rates.streamed_bytes)
        return max(read, rows * numbers / rates.float_products) + self._pick(rows)

    def few(self, coordinates: int, first: int, needs: NDArray[np.float64]) -> float:
        """Cost of one row: a product of a blocked table, `first` exact scores, and the rest for the users that need
        more.
        """
        rates, table = self.rates, coordinates * self.count
        scan = table / (rates.cached_bytes if table < rates.cache_bytes else rates.streamed_table_bytes)
        scan += 4 * coordinates * self._projected(coordinates) / rates.small_bytes
        exact = self._exact(first, rates.gathered_bytes)
        return scan + self._pick(1) + rates.scan_overhead + exact + self._wider(first, needs)

    def many(self, coordinates: int, first: int, needs: NDArray[np.float64]) -> float:
        """Cost of `MANY` rows, by a product of integers."""
        projected = self._projected(coordinates)
        operations = MANY * coordinates * (self.count + 2 * projected)
        exact = self._exact(first, self.rates.gathered_bytes_many)
        rest = self._pick(MANY) + MANY * (exact + self._wider(first, needs))
        return operations / self.rates.integer_products + rest

    def _projected(self, coordinates: int) -> int:
        """Return the rows of the matrices that the user vector is multiplied with."""
        if coordinates <= self.width:
            return self.width + coordinates
        return self.width if self.width <= WIDE else 0

    def _pick(self, rows: int) -> float:
        rates = self.rates
        return rates.call_overhead + rows * self.count * (rates.pick if rows == 1 else rates.pick_many)

    def _exact(self, items: float, rate: float) -> float:
        return self.rates.exact_overhead + 4 * self.width * items / rate

    def _wider(self, first: int, needs: NDArray[np.float64]) -> float:
        """Return the mean over users of the cost after the shortlist."""
        rates = self.rates
        picked = 4 * self.width * needs / rates.gathered_bytes
        exact = np.minimum(picked, 4 * self.width * self.count / rates.streamed_bytes)
        costs = rates.wider_overhead + rates.wider_pick * self.count + exact
        return float(np.where(needs < first, 0, costs).mean())


def _user_vectors(model: BST, heldout: Heldout) -> tuple[Floats, Floats]:
    """Return user vectors to fit to and to try on, of different held-out users: of whole histories and of their
    beginnings.
    """
    count = len(heldout.items)
    parts = (np.arange(count * 3 // 4), np.arange(count * 3 // 4, count)) if count >= 8 else (np.arange(count),) * 2
    rng = np.random.default_rng(0)
    halves = []
    for users, size in zip(parts, (FIT, TRIED), strict=True):
        rows = torch.from_numpy(rng.choice(users, size))
        items = heldout.items[rows].clone()
        for number in range(0, size, 2):  # as many short histories as long ones
            real = torch.nonzero(items[number]).squeeze(1)
            if len(real):
                length = int(np.exp(rng.uniform(0, np.log(len(real) + 1))))
                items[number, real[max(length, 1) :]] = 0
        with torch.inference_mode():
            inputs = {"items": items, "context": heldout.context[rows]}
            inputs |= {name: values[rows] for name, values in heldout.beside.items()}
            vectors = [
                model.eval().user_vectors({name: values[start : start + 256] for name, values in inputs.items()})
                for start in range(0, size, 256)
            ]
        halves.append(torch.cat(vectors).numpy())
    return halves[0], halves[1]
