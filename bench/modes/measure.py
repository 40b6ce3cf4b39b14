"""A measurement from bundle, or model sizes, to record: verify, choose the backends, measure in every mode."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contestants.backends import BACKENDS, find_backends
from bench.contestants.peers import OPPONENTS, build_peers, choose_peers, require_library
from bench.harness.cases import MIN_POOL
from bench.harness.contest import Contest, weight_bytes
from bench.modes.cold import measure_cold
from bench.modes.latency import measure_latency
from bench.modes.open_loop import measure_load
from bench.modes.soak import measure_soak
from bench.record.environment import describe
from bench.record.record import (
    REFERENCE,
    SCHEMA_VERSION,
    BenchConfig,
    BenchRecord,
    ColdRow,
    LatencyRow,
    LoadLimit,
    LoadRow,
    Rate,
    SoakRow,
    Subject,
)
from bst.errors import InputError
from bst.system.console import Tell
from bst.system.files import temporary_folder
from bst.system.machine import memory_bytes
from bst.system.validation import validated
from export import ExportSettings, export_bundle, open_bundle, verify_bundle
from export.contract.rules import read_manifest
from export.formats import FORMATS

if TYPE_CHECKING:
    from bench.models.random_model import RandomModel

MOST = 1_000_000  # rows, slots, candidates or threads: more is taken for a mistake
COPIES = 2.5  # the most memory of a process while it loads, in sizes of its weights


def measure_bundle(
    path: Path, config: BenchConfig, tell: Tell = lambda step: None, *, imported_from: Path | None = None
) -> BenchRecord:
    """Measure the bundle at `path`. It is verified first: a file that fails is not timed.

    Args:
        imported_from: the folder that `bst import` made the bundle's run of; the opponents are then the library's own.

    Raises:
        InputError: a backend or signature is unknown or not timed, a number is out of bounds, or `imported_from` is no
            folder of a library, or that of no opponent that `config` asks for.
        CheckError: the bundle fails verification, or the reference breaks.
    """
    check_config(config)
    if imported_from:
        require_library(config, imported_from)
    manifest = read_manifest(path)
    kind = manifest.signature(config.signature).kind  # refuses a missing one
    if kind.needs_history_once and not manifest.model.scores_catalogue:
        raise InputError(
            f"--signature {kind.name} is a part of score_candidates, which is timed of a click model; ask for that"
        )
    for _ in verify_bundle(path, tell):
        pass
    return _measure([path], config, tell, imported_from)


def measure_random(models: Sequence[RandomModel], config: BenchConfig, tell: Tell = lambda step: None) -> BenchRecord:
    """Measure models with random weights, exported for the measurement; the export proves them."""
    from bench.models.random_model import (
        write_random_run,  # a command of its own, which a package must not import first
    )

    check_config(config)
    settings = validated(ExportSettings, {"signatures": (config.signature,), "formats": _formats_of(config)}, "bench")
    with temporary_folder() as folder:
        paths = []
        for model in models:
            count = model.config.num_items
            tell(f"writing and exporting a model of {count:,} items")
            run, bundle = folder / f"run_{count}", folder / f"random_{count}"
            write_random_run(run, model, seed=config.seed)
            export_bundle(run, bundle, settings, tell=tell)
            paths.append(bundle)
        return _measure(paths, config, tell)


def _formats_of(config: BenchConfig) -> tuple[str, ...]:
    """Return the formats, of those that are exported by default, that the backends of `config` read; one where none
    does.
    """
    kinds = {name.partition("-")[0] for name in config.backends}
    kinds |= {"onnxruntime"} if "openvino" in kinds else set()
    default = ExportSettings().formats
    read = [name for name in default if FORMATS.find(name).backend in kinds or "all" in kinds]
    return tuple(read or ("torchscript",))  # the fastest to write


def check_config(config: BenchConfig) -> None:
    """Refuse settings that cannot be measured, all in one message.

    Raises:
        InputError: the message lists each wrong value with its bounds.
    """
    offences = []
    try:
        if own := [name for name in config.backends if name not in OPPONENTS]:
            find_backends(own)
    except InputError as error:
        offences.append(str(error))
    numbers = (
        ("batch sizes", config.batch_sizes, 1),
        ("lengths", config.lengths, 0),
        ("candidates", config.candidates, 1),
        ("threads", config.threads, 1),
    )
    for name, values, least in numbers:
        if not values or min(values) < least or max(values) > MOST:
            offences.append(f"{name} {list(values)} must be {least} or more, and at most {MOST:,}")
    if not config.backends and not config.peers:
        offences.append(f"no backend; known: {', '.join(BACKENDS.names)}")
    if config.seed < 0:
        offences.append(f"seed={config.seed} must be 0 or more")
    if not config.modes:
        offences.append("no mode; known: latency, surface, load, cold, soak")
    if config.launches < 2 or config.rounds < 1:
        offences.append(
            f"launches={config.launches} of rounds={config.rounds} are too few to say how sure a number is; "
            "give 2 launches or more of 1 round or more"
        )
    settings = config.model_dump()
    offences += [
        f"{name}={settings[name]} must be above 0 and at most 600"
        for name in ("round_seconds", "load_seconds", "speed_seconds")
        if not 0 < settings[name] <= 600
    ]
    offences += [
        f"{name}={settings[name]} must be 1 or more, and at most {MOST:,}"
        for name in ("min_arrivals", "bisection_steps", "warm_windows")
        if not 1 <= settings[name] <= MOST
    ]
    if not MIN_POOL <= config.max_pool <= MOST:
        offences.append(f"max_pool={config.max_pool} must be {MIN_POOL} or more, and at most {MOST:,}")
    if not 0 < config.soak_seconds <= 7 * 24 * 3600:
        offences.append(f"soak_seconds={config.soak_seconds} must be above 0 and at most a week, 604800")
    if not all(0 < number < math.inf for number in (*config.rates, config.clients, config.budget_ms)):
        settings_text = f"rates={list(config.rates)}, clients={config.clients}, budget_ms={config.budget_ms}"
        offences.append(f"{settings_text} must be above 0 and finite")
    if offences:
        raise InputError("; ".join(offences))


def _measure(paths: Sequence[Path], config: BenchConfig, tell: Tell, imported_from: Path | None = None) -> BenchRecord:
    environment = describe(config.threads)
    latency: list[LatencyRow] = []
    rates: list[Rate] = []
    load: list[LoadRow] = []
    limits: list[LoadLimit] = []
    cold: list[ColdRow] = []
    soak: list[SoakRow] = []
    subjects: list[Subject] = []
    unavailable: dict[str, str] = {}
    broken: dict[str, None] = {}
    for path in paths:
        with _contest(path, config, tell, imported_from) as contest:
            subjects.append(Subject(bundle=path.name, model=contest.bundle.manifest.model))
            for threads in config.threads:
                if {"latency", "surface"} & set(config.modes):
                    rows, new_rates = measure_latency(contest, threads)
                    latency, rates = latency + rows, rates + new_rates
                if "load" in config.modes:
                    new_rows, new_limits = measure_load(contest, threads)
                    load, limits = load + new_rows, limits + new_limits
                if "cold" in config.modes:
                    cold += measure_cold(contest, threads)
                if "soak" in config.modes:
                    soak += measure_soak(contest, threads)
            unavailable |= contest.unavailable
            broken |= dict.fromkeys(contest.broken)
    return BenchRecord(
        schema_version=SCHEMA_VERSION,
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        subjects=tuple(subjects),
        config=config,
        environment=environment,
        rates=tuple(rates),
        latency=tuple(row for row in latency if config.is_requested(row.backend)),
        load=tuple(row for row in load if config.is_requested(row.backend)),
        load_limits=tuple(row for row in limits if config.is_requested(row.backend)),
        cold=tuple(cold),
        soak=tuple(soak),
        unavailable=unavailable,
        broken=tuple(broken),
    )


@contextmanager
def _contest(path: Path, config: BenchConfig, tell: Tell, imported_from: Path | None) -> Iterator[Contest]:
    """Choose the backends that can be measured on a bundle; files of the opponents exist as long as the context."""
    bundle = open_bundle(path)
    names = choose_peers(bundle, config, imported_from)
    own = tuple(name for name in config.backends if name not in OPPONENTS)
    requested = find_backends((REFERENCE,)) | (find_backends(own) if own else {})
    unavailable = {name: reason for name, backend in requested.items() if (reason := backend.missing(bundle))}
    backends = {name: backend for name, backend in requested.items() if name not in unavailable}
    _require_memory(len(backends) + len(names), weight_bytes(path))
    with temporary_folder() as folder:
        if names:
            peers, missing = build_peers(bundle, config.signature, folder, names, tell, imported_from=imported_from)
            backends, unavailable = backends | peers, unavailable | missing
        # The reference goes first: the others are compared with its answers.
        first = {REFERENCE: backends.pop(REFERENCE)}
        yield Contest(bundle, config, first | backends, unavailable, tell)


def _require_memory(backends: int, weights: int) -> None:
    """Refuse before the opponents are built, which takes minutes where memory may be short."""
    needed, free = COPIES * backends * weights, memory_bytes("MemAvailable")
    if free is not None and needed > free:
        raise InputError(
            f"{backends} backends of weights of {weights / 1e6:,.0f} MB need about {needed / 1e9:,.1f} GB of memory "
            f"and {free / 1e9:,.1f} GB are free; name fewer with --backends, or leave out --peers"
        )
