"""`bst bench`, `bst compare` and `bst demo`."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from bench.contestants.backends import BACKENDS
from bench.demo.demo import DEFAULT_OUT, run_demo
from bench.demo.kinds import KINDS
from bench.demo.serve import require_demo, serve_demo
from bench.models.random_model import RandomModel, parse_model
from bench.modes.measure import check_config, measure_bundle, measure_random
from bench.record.record import BenchConfig, BenchRecord, read_record
from bench.report.compare import changes_sheet, compare_records, differences
from bench.report.report import html_page
from bench.report.tables import banners, notes, sheets, summary
from bench.report.terminal import print_sheet
from bst.errors import CheckError, InputError
from bst.system.commands import INPUT, MODEL, OUTPUT
from bst.system.console import told_steps, wrapped
from bst.system.files import to_json, write_atomically
from bst.system.text import split_list
from bst.system.validation import validated
from export.commands import NoBrowser, Port, page_option
from export.contract.rules import read_manifest
from export.page import PORT, require_server

DEFAULTS = BenchConfig()
# Defaults that differ by mode: a grid has many cells, and load and cold starts are about single calls.
OF_MODE: dict[str, dict[str, Any]] = {
    "surface": {
        "signature": "score_candidates",
        "batch_sizes": (1, 8, 64),
        "candidates": (1, 10, 100, 1000),
        "launches": 3,
        "round_seconds": 0.05,
    },
    "load": {"batch_sizes": (1,), "launches": 3},
    "cold": {"batch_sizes": (1,)},
    "soak": {"backends": ("onnxruntime", "torchscript"), "clients": 8},
}
T = TypeVar("T")
WHAT, HOW = "What is measured", "How it is measured"
input_option, output_option = (
    partial(typer.Option, rich_help_panel=INPUT),
    partial(typer.Option, rich_help_panel=OUTPUT),
)


def _help(panel: str, text: str, default: object) -> Any:
    value = ",".join(map(str, default)) if isinstance(default, tuple) else default
    return typer.Option(help=f"{text} [{value}].", rich_help_panel=panel)


ImportedFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="The folder that `bst import` read: --peers has its library's model.", rich_help_panel=WHAT
    ),
]


def bench(
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="A bundle that `bst export` wrote.")] = None,
    random: Annotated[
        str | None, input_option(help="Random model: num_items=50000,dim=64,... or num_items=50000,like=RUN")
    ] = None,
    catalogue_sizes: Annotated[str | None, input_option(help="Several num_items for --random.")] = None,
    mode: Annotated[str | None, _help(WHAT, "latency, surface, load, cold, soak", DEFAULTS.modes)] = None,
    backends: Annotated[str | None, _help(WHAT, f"Of {', '.join(BACKENDS.names)}, all", DEFAULTS.backends)] = None,
    peers: Annotated[
        bool, typer.Option(help="All opponents too; --backends may name some.", rich_help_panel=WHAT)
    ] = False,
    imported_from: ImportedFrom = None,
    signature: Annotated[str | None, _help(WHAT, "Signature that is called", DEFAULTS.signature)] = None,
    batch_sizes: Annotated[str | None, _help(WHAT, "Rows a call", DEFAULTS.batch_sizes)] = None,
    lengths: Annotated[str | None, _help(WHAT, "Slots of a history, 0 for the measured mix", DEFAULTS.lengths)] = None,
    candidates: Annotated[str | None, _help(WHAT, "Candidates a row", DEFAULTS.candidates)] = None,
    threads: Annotated[str | None, _help(WHAT, "Threads of every backend", DEFAULTS.threads)] = None,
    launches: Annotated[int | None, _help(HOW, "Fresh starts of every backend", DEFAULTS.launches)] = None,
    rounds: Annotated[int | None, _help(HOW, "Turns of every backend in a launch", DEFAULTS.rounds)] = None,
    round_seconds: Annotated[
        float | None, _help(HOW, "Seconds of one backend in one round", DEFAULTS.round_seconds)
    ] = None,
    rates: Annotated[str | None, _help(HOW, "Load: arrivals a second", "shares of eager's capacity")] = None,
    clients: Annotated[int | None, _help(HOW, "Threads over one session", f"load: {DEFAULTS.clients}, soak: 8")] = None,
    budget_ms: Annotated[float | None, _help(HOW, "Load: the highest p99 allowed", DEFAULTS.budget_ms)] = None,
    load_seconds: Annotated[float | None, _help(HOW, "Load: seconds a rate", DEFAULTS.load_seconds)] = None,
    soak_seconds: Annotated[float | None, _help(HOW, "Soak: seconds a backend", DEFAULTS.soak_seconds)] = None,
    seed: Annotated[int | None, _help(HOW, "Fixes the inputs and the order", DEFAULTS.seed)] = None,
    json_file: Annotated[Path | None, output_option("--json", help="Write everything, raw samples too.")] = None,
    html_file: Annotated[Path | None, output_option("--html", help="Write a page with figures.")] = None,
) -> None:
    """Measure how fast a bundle answers in each backend.

    Each latency has its parity beside it, on the same inputs. Commas separate lists.
    """
    plain = {
        "signature": signature, "launches": launches, "rounds": rounds, "round_seconds": round_seconds,
        "clients": clients, "budget_ms": budget_ms, "load_seconds": load_seconds, "soak_seconds": soak_seconds,
        "seed": seed,
    }  # fmt: skip
    lists = {
        "backends": _list(backends, str), "modes": _list(mode, str), "batch_sizes": _list(batch_sizes, int),
        "lengths": _list(lengths, int), "candidates": _list(candidates, int), "threads": _list(threads, int),
        "rates": _list(rates, float),
    }  # fmt: skip
    values = {name: value for name, value in {**plain, **lists}.items() if value is not None}
    _require_one_subject(bundle, random, catalogue_sizes, imported_from)
    models = _models(random, _list(catalogue_sizes, int)) if random is not None else ()
    model = models[0].config if models else read_manifest(bundle or Path()).model
    if not model.scores_catalogue:
        values.setdefault("signature", "score_candidates")
    config = _config({**values, "peers": peers}, model.max_length)
    _require_writable(json_file, html_file)
    with told_steps() as tell:
        if bundle:
            record = measure_bundle(bundle, config, tell, imported_from=imported_from)
        else:
            record = measure_random(models, config, tell)
    _tell_and_write(record, json_file, html_file)


def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="What `bst bench --json` wrote.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="The same, later.")],
    json_output: Annotated[bool, output_option("--json", help="Print the changes as JSON.")] = False,
) -> None:
    """List the changes between two measurements."""
    records = read_record(before), read_record(after)
    changes, others = compare_records(*records), differences(*records)
    if json_output:
        print(to_json({"changes": [change.to_dict() for change in changes], "differences": others}), end="")
        return
    print_sheet(changes_sheet(f"{before} to {after}", changes), "they are in --json")
    for line in others:
        print(wrapped(f"different: {line}"))
    same = sum(change.verdict == "cannot tell" for change in changes)
    print(f"{same} of {len(changes)} agree within their intervals")


def demo(
    out: Annotated[
        Path, output_option(help="The folder to write; must not exist, but for --serve, which takes a finished demo.")
    ] = DEFAULT_OUT,
    task: Annotated[
        str, typer.Option(help=f"What the model learns: {' or '.join(KINDS.names)}.", rich_help_panel=MODEL)
    ] = "next_item",
    seed: Annotated[
        int, typer.Option(help="Fixes every random choice.", min=0, max=2**63 - 1, rich_help_panel=MODEL)
    ] = 0,
    serve: Annotated[
        bool, page_option("--serve", help="Then recommend on a page in the browser, until Ctrl-C.")
    ] = False,
    port: Port = None,
    no_browser: NoBrowser = False,
) -> None:
    """Run everything on open data, from table to page.

    Train, export, prove and measure a model of openly licensed purchases, and show the results on a page.
    """
    kind = KINDS.find(task)
    if not serve:
        if port is not None:
            raise InputError(f"--port {port} is where --serve answers; give that too")
        run_demo(out, seed, kind)
        return
    port = PORT if port is None else port
    require_server(port=port)
    if out.exists():
        require_demo(out)
    else:
        run_demo(out, seed, kind)
    if code := serve_demo(out, port, browser=not no_browser):
        raise typer.Exit(code)


def _require_one_subject(
    bundle: Path | None, random: str | None, catalogue_sizes: str | None, imported_from: Path | None
) -> None:
    if (bundle is None) == (random is None):
        raise InputError("give a BUNDLE, or --random num_items=50000,dim=64 for a model without training, and not both")
    if catalogue_sizes is not None and random is None:
        raise InputError(f"--catalogue-sizes {catalogue_sizes} are of random models; give --random too")
    if imported_from and bundle is None:
        raise InputError(f"--imported-from {imported_from} is of a BUNDLE, not of --random; leave it out")


def _config(options: dict[str, Any], longest: int) -> BenchConfig:
    """Complete the options with the defaults of the mode, and refuse what cannot be measured."""
    values = dict(options)
    for mode in options.get("modes", ()):
        values = {**OF_MODE.get(mode, {}), **values}
        if mode == "surface":
            values.setdefault("lengths", tuple(sorted({max(1, longest // 10), max(1, longest // 2), longest})))
    config = validated(BenchConfig, values, "bench")
    if beyond := [length for length in config.lengths if length > longest]:
        raise InputError(f"lengths {beyond} are beyond the {longest} slots that the model reads; give shorter ones")
    check_config(config)
    cores = os.cpu_count()
    for count in config.threads:
        if cores and count > cores:
            warnings.warn(f"{count} threads on {cores} cores will wait for one another", stacklevel=1)
    return config


def _models(settings: str, sizes: tuple[int, ...] | None) -> list[RandomModel]:
    parts = [part for part in re.split(r",(?=\w+=)", settings) if part]
    if sizes is None:
        return [parse_model(parts)]
    if not sizes:
        raise InputError("--catalogue-sizes names none; give such as 1000,50000")
    if any(part.startswith("num_items=") for part in parts):
        raise InputError(f"--random {settings} fixes num_items, which --catalogue-sizes lists; leave one out")
    return [parse_model([*parts, f"num_items={size}"]) for size in dict.fromkeys(sizes)]


def _tell_and_write(record: BenchRecord, json_file: Path | None, html_file: Path | None) -> None:
    # Files are written before the report is printed, and it is printed even if writing fails: neither a closed pipe nor
    # a full disk may cost an hour of measuring.
    try:
        if json_file:
            write_atomically(json_file, json.dumps(record.to_dict()) + "\n")
        if html_file:
            write_atomically(html_file, html_page(record))
    except Exception:
        with suppress(BrokenPipeError):
            _tell(record)
        raise
    _tell(record)
    for path in (json_file, html_file):
        if path:
            print(f"wrote {path}")
    if record.failures:
        raise CheckError("; ".join(record.failures))


def _tell(record: BenchRecord) -> None:
    for line in banners(record):
        print(wrapped(f"WARNING: {line}"))
    for sheet in sheets(record):
        print_sheet(sheet, "they are in --json and on the page of --html")
    for line in notes(record):
        print(wrapped(line))
    if record.latency and "surface" not in record.config.modes:
        print(wrapped(f"{summary(record)} ({record.environment['cpu']})"))


def _list(text: str | None, kind: Callable[[str], T]) -> tuple[T, ...] | None:
    """Read values separated by commas. A repeated number counts once, a repeated name twice."""
    if text is None:
        return None
    parts = split_list(text)
    try:
        values = [kind(part) for part in parts]
    except ValueError:
        wrong = next(part for part in parts if not _is(part, kind))
        raise InputError(f"{wrong!r} in {text!r} is not a number; give such as 1,32") from None
    return tuple(values if kind is str else dict.fromkeys(values))


def _is(part: str, kind: Callable[[str], object]) -> bool:
    try:
        kind(part)
    except ValueError:
        return False
    return True


def _require_writable(*paths: Path | None) -> None:
    for path in paths:
        if path is None:
            continue
        folder = path.absolute().parent
        if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
            raise InputError(f"{path} cannot be written; give a file in a folder that exists")
