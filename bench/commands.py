"""`bst bench` and `bst demo`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.demo import run_demo
from bench.latency import BenchConfig, check_config, measure_bundle
from bench.report import html_page, notes, summary, terminal_table
from bst.console import told_steps
from bst.errors import CheckError, InputError
from bst.files import to_json, write_atomically
from export.commands import BundlePath

DEFAULTS = BenchConfig()


def bench(
    bundle: BundlePath,
    backends: Annotated[str, typer.Option(help="Which backends, separated by commas.")] = ",".join(DEFAULTS.backends),
    batch_sizes: Annotated[str, typer.Option(help="Rows a call, separated by commas.")] = ",".join(
        map(str, DEFAULTS.batch_sizes)
    ),
    threads: Annotated[int, typer.Option(help="Threads of every backend.")] = DEFAULTS.threads,
    signature: Annotated[str, typer.Option(help="What is called: a signature of the bundle.")] = DEFAULTS.signature,
    launches: Annotated[int, typer.Option(help="How often every backend starts anew.")] = DEFAULTS.launches,
    rounds: Annotated[int, typer.Option(help="How often the backends take turns, a launch.")] = DEFAULTS.rounds,
    round_seconds: Annotated[float, typer.Option(help="Time of one backend in one round.")] = DEFAULTS.round_seconds,
    seed: Annotated[int, typer.Option(help="Fixes the inputs and the order.")] = DEFAULTS.seed,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything measured, raw samples too.")
    ] = None,
    html_file: Annotated[Path | None, typer.Option("--html", help="Write a page with figures.")] = None,
) -> None:
    """Measure a bundle: latency of each backend beside its parity, on the same inputs."""
    config = BenchConfig(
        backends=tuple(dict.fromkeys(name.strip() for name in backends.split(",") if name.strip())),
        batch_sizes=tuple(dict.fromkeys(_number(one) for one in batch_sizes.split(",") if one.strip())),
        threads=threads,
        signature=signature,
        launches=launches,
        rounds=rounds,
        round_seconds=round_seconds,
        seed=seed,
    )
    check_config(config)
    if threads > (os.cpu_count() or threads):
        warnings.warn(f"{threads} threads on {os.cpu_count()} cores will wait for one another", stacklevel=1)
    for path in (json_file, html_file):
        if path:
            _require_writable(path)
    with told_steps() as tell:
        result = measure_bundle(bundle, config, tell)
    console = Console(width=None if Console().is_terminal else 140)
    console.print(terminal_table(result))
    for line in notes(result):
        print(line)
    print(f"{summary(result)} ({result.environment['cpu']}, {threads} thread{'s' if threads > 1 else ''})")
    if json_file:
        write_atomically(json_file, to_json(result.to_dict()))
    if html_file:
        write_atomically(html_file, html_page(result))
    for path in (json_file, html_file):
        if path:
            print(f"wrote {path}")
    if result.parity_failures:
        raise CheckError("; ".join(f"{row.backend}: {row.parity.failure}" for row in result.parity_failures))


def demo(
    out: Annotated[Path, typer.Option(help="The folder to write; must not exist.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Fixes every random choice.")] = 0,
) -> None:
    """Walk the whole road on openly licensed data: train, export, prove, measure, and show it on a page."""
    run_demo(out, seed)


def _number(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InputError(f"batch size {value!r} is not a whole number; give such as 1,32") from None


def _require_writable(path: Path) -> None:
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(f"{path} cannot be written; give a file in a folder that exists")
