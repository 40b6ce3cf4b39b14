"""The record of a measurement, with every sample, in JSON whose schema is `docs/reference/bench.schema.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from bench.record.statistics import Interval, Latency
from bst.config import BSTConfig, Frozen
from bst.errors import InputError
from bst.system.files import DATA_BYTES, read_json
from bst.system.validation import json_schema, validated

SCHEMA_VERSION = 2
REFERENCE = "eager"
NOT_EQUAL = "not equal"
Mode = Literal["latency", "surface", "load", "cold", "soak"]
MAY_GROW = 0.01  # allowed growth of memory in a soak
MAX_POOL = 128  # different calls of a case
Cache = Literal["warm", "dropped"]


class BenchConfig(Frozen):
    """The settings of a measurement: what is measured and for how long.

    Attributes:
        backends: names, see `bench.contestants.backends`; a repeated name is measured twice. Opponents may be among
            them.
        peers: measure all opponents, see `bench.contestants.peers`.
        modes: `latency` (closed loop), `surface` (the same over a grid), `load` (open loop), `cold` (first answer),
            `soak` (threads over one session for a long time).
        batch_sizes: rows a call. `lengths`: slots of a history, 0 for the measured mix. `candidates`: a row, of
            `score_candidates`. `threads`: of every backend. Each combination is a case.
        launches: the number of fresh processes of every backend.
        rounds: the turns of every backend in each launch, `round_seconds` each.
        rates: arrivals a second in `load`; by default a quarter, half, three quarters and nine tenths of eager's.
        clients: threads that call one session in `load` and `soak`. `budget_ms`: the highest p99 allowed in `load`.
            `load_seconds`: of each rate, with at least `min_arrivals` calls, enough of them for a p99.
            `bisection_steps` of the search for the highest rate. `soak_seconds`: of each backend.
        warm_windows: windows of `round_seconds` after which a backend is measured although its median still changes.
            `speed_seconds`: of each kernel that measures the machine's own speed.
        max_pool: different calls of a case, at most (`bench.harness.cases.pool_size`).
    """

    backends: tuple[str, ...] = ("eager", "torchscript", "pt2", "aotinductor", "onnxruntime", "eager-cuda")
    peers: bool = False
    modes: tuple[Mode, ...] = ("latency",)
    signature: str = "top_k"
    batch_sizes: tuple[int, ...] = (1, 32)
    lengths: tuple[int, ...] = (0,)
    candidates: tuple[int, ...] = (100,)
    threads: tuple[int, ...] = (1,)
    launches: int = 5
    rounds: int = 3
    round_seconds: float = 0.25
    rates: tuple[float, ...] = ()
    clients: int = 1
    budget_ms: float = 10.0
    load_seconds: float = 2.0
    min_arrivals: int = 200
    bisection_steps: int = 6  # from 1.2 times the capacity, 1.2 / 2**6 is 2 % of it
    soak_seconds: float = 600.0
    warm_windows: int = 25
    speed_seconds: float = 0.25
    max_pool: int = MAX_POOL
    seed: int = 0

    def is_requested(self, name: str) -> bool:
        """Return whether a backend was requested: some modes measure the reference only to compare the others with
        it.
        """
        return name != REFERENCE or bool({REFERENCE, "all"} & set(self.backends))


class Case(Frozen):
    """A point of the grid of calls. `length` 0 is the measured mix, `candidates` 0 where the signature has none."""

    num_items: int
    threads: int
    batch_size: int
    length: int
    candidates: int

    def __str__(self) -> str:
        parts = [f"batch {self.batch_size}"]
        parts += [f"length {self.length}"] * (self.length > 0) + [f"{self.candidates} candidates"] * (
            self.candidates > 0
        )
        return ", ".join(parts)


class Parity(Frozen):
    """The difference of the answers to the timed inputs from eager float32 on the CPU; `failure` says what breaks
    parity.

    `max_error` is relative to the largest score, none where an answer is not finite or has another shape.
    """

    max_error: float | None
    swaps: int
    failure: str | None


class LatencyRow(Frozen):
    """One backend in one case.

    Attributes:
        peer: an opponent, built from the same weights.
        exact: its answers should equal eager's; if not, the command fails.
        floor_us: the least time that the bytes and operations of a call can take on this machine
            (`bench.modes.limits`); None where a correct backend is faster, which shows that the machine's speed
            was measured too low.
        to_eager, to_best: how many times faster than eager and than `best`, the fastest other backend with right
            answers. A verdict is `not equal` where the answers are wrong: then the speed is of no use.
        settled: the median was stable before anything was counted.
        pool: the number of different inputs. Call i of round r of launch l had the input
            `first_input(l, r, pool) + i`, modulo `pool` (`bench.harness.cases`).
        samples_us: of each launch, of each round, of each call, by the clock of the host.
        device_us: the same by the events of the device, where there is one.
    """

    backend: str
    case: Case
    peer: bool
    exact: bool
    latency: Latency
    rows_per_s: float
    floor_us: float | None
    to_eager: Interval
    verdict: str
    best: str | None
    to_best: Interval | None
    best_verdict: str | None
    settled: bool
    parity: Parity
    pool: int
    samples_us: tuple[tuple[tuple[float, ...], ...], ...]
    device_us: tuple[tuple[tuple[float, ...], ...], ...] | None

    @property
    def of_floor(self) -> float | None:
        """The share of the roofline (`floor_us`) in p50: 1 is as fast as the machine allows."""
        return None if self.floor_us is None else self.floor_us / self.latency.p50_us.value


class LoadRow(Frozen):
    """One backend under Poisson arrivals at `rate_per_s`. Latency counts from the arrival that was intended.

    A percentile is None where the backend fell behind. `late_us` is the delay of the harness itself for a call that did
    not have to wait (p99). `latencies_us` has a tuple a launch, in order of arrival, with None for calls that were
    given up.
    """

    backend: str
    case: Case
    rate_per_s: float
    clients: int
    p50_us: Interval | None
    p99_us: Interval | None
    answered_per_s: float
    late_us: float
    latencies_us: tuple[tuple[float | None, ...], ...]


class LoadLimit(Frozen):
    """The highest rate at which the p99 of a backend keeps within the budget, found by bisection in every launch."""

    backend: str
    case: Case
    peer: bool
    exact: bool
    clients: int
    budget_ms: float
    rate_per_s: Interval
    launches_per_s: tuple[float, ...]
    parity: Parity


class ColdRow(Frozen):
    """The time from the start of a process to its first answer, milliseconds, and its peak memory.

    `start_ms` is the interpreter, `imports_ms` the libraries, `load_ms` the model, `answer_ms` the first call.
    """

    backend: str
    num_items: int
    peer: bool
    exact: bool
    cache: Cache
    total_ms: Interval
    start_ms: Interval
    imports_ms: Interval
    load_ms: Interval
    answer_ms: Interval
    peak_mb: Interval
    parity: Parity
    samples_ms: tuple[tuple[float, ...], ...]


class SoakWindow(Frozen):
    """A stretch of a soak; `memory_mb` is the memory of the process at its end, where the system reports it."""

    calls: int
    p50_us: float
    p99_us: float
    memory_mb: float | None


class SoakRow(Frozen):
    """One backend called by `clients` threads over one session, without a pause, after a warm-up.

    Attributes:
        wrong: calls whose answer was not equal to the golden one (see `export.compare`); `failure` describes one.
        same_bits: calls with the same bits as the first call with the same input, those of the warm-up included.
        growth: of memory since the warm-up, 0.01 for 1 %; None where the system does not report it.
        tail_speed: p99 of the earlier windows over that of the later ones: below 1 where calls became slower.
    """

    backend: str
    num_items: int
    threads: int
    clients: int
    wrong: int
    failure: str | None
    same_bits: int
    growth: float | None
    tail_speed: Interval
    tail_verdict: str
    windows: tuple[SoakWindow, ...]

    @property
    def calls(self) -> int:
        return sum(window.calls for window in self.windows)


class Rate(Frozen):
    """A rate of this machine with `threads`: bytes a second moved, of a working set of so many bytes.

    `spread` is the difference between the slowest and the fastest launch: the change of the machine itself.
    """

    what: Literal["bytes", "operations"]
    threads: int
    device: str
    working_set_bytes: int
    per_s: float
    spread: float


class Subject(Frozen):
    """The subject of a measurement: a bundle and its model."""

    bundle: str
    model: BSTConfig


class BenchRecord(Frozen):
    """All results of a measurement, with what is needed to judge them. `unavailable` has the reason for each backend
    that is missing.
    """

    schema_version: int
    date: str
    subjects: tuple[Subject, ...]
    config: BenchConfig
    environment: dict[str, Any]
    rates: tuple[Rate, ...]
    latency: tuple[LatencyRow, ...]
    load: tuple[LoadRow, ...]
    load_limits: tuple[LoadLimit, ...]
    cold: tuple[ColdRow, ...]
    soak: tuple[SoakRow, ...] = ()
    unavailable: dict[str, str]
    broken: tuple[str, ...]

    @property
    def failures(self) -> list[str]:
        """The failures of a measurement: wrong answers of backends that should be right, and backends that broke."""
        messages = [f"{row.backend} at {row.case}: {row.parity.failure}" for row in self.latency if _fails(row)]
        messages += [f"{row.backend} under load: {row.parity.failure}" for row in self.load_limits if _fails(row)]
        messages += [f"{row.backend}, started cold: {row.parity.failure}" for row in self.cold if _fails(row)]
        messages += [f"{row.backend}, soaked: {row.wrong:,} wrong, {row.failure}" for row in self.soak if row.wrong]
        messages += [
            f"{row.backend}, soaked: memory grew by {row.growth:.1%}, {MAY_GROW:.0%} is allowed"
            for row in self.soak
            if row.growth is not None and row.growth > MAY_GROW
        ]
        return messages + [f"{name} broke: {self.unavailable[name]}" for name in self.broken]

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def _fails(row: LatencyRow | LoadLimit | ColdRow) -> bool:
    return row.exact and not row.peer and row.parity.failure is not None


def read_record(path: Path) -> BenchRecord:
    """Read a file of `bst bench --json`.

    Raises:
        InputError: the file is missing, is not such a record, or is of another schema.
    """
    if not path.is_file():
        raise InputError(f"{path} is not there; give a file that `bst bench --json` wrote")
    values = read_json(path, "a place of records", DATA_BYTES)
    schema_version = values.get("schema_version") if isinstance(values, dict) else None
    if schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version={schema_version!r}, this version reads {SCHEMA_VERSION}; measure again"
        )
    return validated(BenchRecord, values, str(path))


def record_schema() -> dict[str, Any]:
    """Return the JSON Schema of a record, as `docs/reference/bench.schema.json` publishes it."""
    return json_schema(BenchRecord, "what `bst bench --json` writes", SCHEMA_VERSION)
