"""The changes from one record to another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bench.record.record import REFERENCE, BenchRecord, Case, ColdRow, LatencyRow, LoadLimit
from bench.record.statistics import Floats, Interval, change, launch_ratios, verdict
from bench.report.columns import Column, Sheet, micro, times
from bench.report.tables import about
from bst.config import Frozen
from bst.errors import InputError


class Change(Frozen):
    """One number before and after. `ratio` is how many times as good: above 1 is faster, or a higher rate.

    `beside_eager` is the same relative to eager of the same record, which a change of the machine does not affect.
    """

    what: str
    backend: str
    before: float
    after: float
    ratio: Interval
    verdict: str
    beside_eager: Interval | None
    parity: str

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


COLUMNS = (
    Column("backend", lambda row: row.backend, numeric=False),
    Column("before", lambda row: micro(row.before), rank=2),
    Column("after", lambda row: micro(row.after), rank=2),
    Column("times as good", lambda row: times(row.ratio)),
    Column("", lambda row: row.verdict, numeric=False),
    Column("relative to eager", lambda row: times(row.beside_eager), rank=3),
    Column("parity", lambda row: row.parity, numeric=False, rank=1),
)


def changes_sheet(title: str, changes: Iterable[Change]) -> Sheet:
    """Lay the changes out as a table, those of one case together."""
    parts: dict[str, list[Change]] = {}
    for row in changes:
        parts.setdefault(row.what, []).append(row)
    return Sheet(title, COLUMNS, list(parts.items()))


def compare_records(before: BenchRecord, after: BenchRecord) -> list[Change]:
    """Compare the rows of both records: latency, limits under load, cold starts.

    Raises:
        InputError: they have nothing in common.
    """
    changes = [*_latency(before, after), *_limits(before, after), *_cold(before, after)]
    if not changes:
        raise InputError(
            f"nothing is in both records: before {_held(before)}; after {_held(after)}; measure the same cases"
        )
    return changes


def differences(before: BenchRecord, after: BenchRecord) -> list[str]:
    """List the other differences between two records, which may explain the changes."""
    old, new = _facts(before), _facts(after)
    lines = [
        f"{name}: {old.get(name)} before, {new.get(name)} after"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if [subject.model for subject in before.subjects] != [subject.model for subject in after.subjects]:
        lines.append("the models are not of the same sizes")
    for name in type(before.config).model_fields:
        earlier, later = getattr(before.config, name), getattr(after.config, name)
        if earlier != later:
            lines.append(f"{name}: {earlier} before, {later} after")
    return lines


def _facts(record: BenchRecord) -> dict[str, Any]:
    """List the facts of the environment, each version and each cache by itself."""
    facts: dict[str, Any] = {}
    for name, value in record.environment.items():
        if isinstance(value, dict):
            facts |= {f"{name}, {part}": version for part, version in value.items()}
        elif name not in ("load_at_start", "harness_overhead_us", "mhz"):
            facts[name] = value
    return facts


def _held(record: BenchRecord) -> str:
    rows: list[LatencyRow | LoadLimit | ColdRow] = [*record.latency, *record.load_limits, *record.cold]
    return f"{', '.join(sorted({row.backend for row in rows}))} in {', '.join(record.config.modes)}"


def _latency(before: BenchRecord, after: BenchRecord) -> list[Change]:
    old, new = _by_key(before.latency), _by_key(after.latency)
    changes = []
    for case, name in (key for key in old if key in new):
        was, now = old[case, name], new[case, name]
        ratio = change(_medians(now), _medians(was))
        beside = None
        if name != REFERENCE and all((case, REFERENCE) in rows for rows in (old, new)):
            eager = _samples(old[case, REFERENCE]), _samples(new[case, REFERENCE])
            beside = change(launch_ratios(eager[0], _samples(was)), launch_ratios(eager[1], _samples(now)))
        changes.append(
            Change(
                what=f"p50 us, {case}, {about(case)}",
                backend=name,
                before=was.latency.p50_us.value,
                after=now.latency.p50_us.value,
                ratio=ratio,
                verdict=verdict(ratio),
                beside_eager=beside,
                parity=_parity(was.parity.failure, now.parity.failure),
            )
        )
    return changes


def _limits(before: BenchRecord, after: BenchRecord) -> list[Change]:
    old = {(row.backend, row.case, row.clients, row.budget_ms): row for row in before.load_limits}
    changes = []
    for now in after.load_limits:
        was = old.get((now.backend, now.case, now.clients, now.budget_ms))
        if was is not None and min(*was.launches_per_s, *now.launches_per_s) > 0:
            ratio = change(np.array(was.launches_per_s), np.array(now.launches_per_s))
            judgement = {"faster": "higher rate", "slower": "lower rate"}.get(verdict(ratio), verdict(ratio))
            what = f"arrivals/s under {now.budget_ms:g} ms, {now.case}, {now.clients} client(s)"
            values = was.rate_per_s.value, now.rate_per_s.value
            parity = _parity(was.parity.failure, now.parity.failure)
            changes.append(_change(what, now.backend, values, ratio, judgement, parity))
    return changes


def _cold(before: BenchRecord, after: BenchRecord) -> list[Change]:
    old = {(row.backend, row.num_items, row.cache): row for row in before.cold}
    changes = []
    for now in after.cold:
        if was := old.get((now.backend, now.num_items, now.cache)):
            ratio = change(*(np.array([sum(parts) for parts in each.samples_ms]) for each in (now, was)))
            what = f"first answer ms, cache {now.cache}, {now.num_items:,} items"
            values = was.total_ms.value, now.total_ms.value
            parity = _parity(was.parity.failure, now.parity.failure)
            changes.append(_change(what, now.backend, values, ratio, verdict(ratio), parity))
    return changes


def _change(
    what: str, backend: str, values: tuple[float, float], ratio: Interval, judgement: str, parity: str
) -> Change:
    return Change(
        what=what,
        backend=backend,
        before=values[0],
        after=values[1],
        ratio=ratio,
        verdict=judgement,
        beside_eager=None,
        parity=parity,
    )


def _parity(before: str | None, after: str | None) -> str:
    if before is None and after is not None:
        return "NOW WRONG"
    if before is not None and after is None:
        return "right now"
    return "right" if after is None else "both wrong"


def _by_key(rows: Sequence[LatencyRow]) -> dict[tuple[Case, str], LatencyRow]:
    return {(row.case, row.backend): row for row in rows}


def _samples(row: LatencyRow) -> list[list[Floats]]:
    return [[np.array(calls) for calls in rounds] for rounds in row.samples_us]


def _medians(row: LatencyRow) -> Floats:
    return np.array([np.median(np.concatenate(rounds)) for rounds in _samples(row)])
