"""The parts of `bench.gpu`: measurements of a device, each a function that runs in a process of its own.

A part returns its result as plain values for JSON. It raises `CheckError` where something is wrong, which the report
quotes; an absent device, library or backend is listed under `missing`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from bench.models.random_model import parse_model, write_random_run
from bench.modes.measure import measure_bundle
from bench.record.record import BenchConfig
from bst import Architecture, Dataset, Settings, TrainConfig, load_run, read_interactions, train
from bst.errors import CheckError
from bst.training.world import World
from export import ExportSettings, export_bundle

LOSSES_AGREE = 0.05  # of the CPU's loss in float32; bfloat16 keeps 8 bits of a number, and dropout draws otherwise
GRADIENTS_AGREE = 1e-4  # of the largest gradient
BUNDLE = "bundle"


@dataclass(frozen=True)
class Job:
    """The inputs of a part: folder, device and sizes. `small` is for machines without a GPU and for tests: its
    numbers mean nothing.
    """

    folder: Path
    device: str
    small: bool

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        return (1, 8) if self.small else (1, 32, 256, 4096)

    @property
    def kind(self) -> str:
        return self.device.split(":")[0]


@dataclass(frozen=True)
class Part:
    """One part: its title, its time limit, and its function."""

    name: str
    about: str
    seconds: float
    run: Callable[[Job], dict[str, Any]]


def make_bundle(job: Job) -> None:
    """Write the bundle that the parts measure: a model with random weights in two formats."""
    sizes = ["num_items=200", "dim=16", "max_length=10"] if job.small else ["num_items=10000", "dim=64"]
    write_random_run(job.folder / "run", parse_model([*sizes, "context=region:4"]))
    settings = ExportSettings(formats=("onnx", "torchscript"), signatures=("top_k",))
    export_bundle(job.folder / "run", job.folder / BUNDLE, settings)


def _measured(
    job: Job, of_device: dict[str, tuple[str, ...]], batch_sizes: tuple[int, ...] | None = None
) -> dict[str, Any]:
    """Measure latency and parity of some backends beside eager on the CPU."""
    config = BenchConfig(
        backends=("eager", *of_device[job.kind]),
        batch_sizes=batch_sizes or job.batch_sizes,
        launches=2,
        rounds=1,
        threads=(max(1, (os.cpu_count() or 2) // 2),),
        round_seconds=0.02 if job.small else 0.2,
        warm_windows=3 if job.small else 5,
        speed_seconds=0.02 if job.small else 0.1,
    )
    record = measure_bundle(job.folder / BUNDLE, config)
    rows = [
        {
            "backend": row.backend,
            "batch_size": row.case.batch_size,
            "p50_us": row.latency.p50_us.value,
            "p50_us_interval": [row.latency.p50_us.low, row.latency.p50_us.high],
            "times_as_fast_as_cpu_eager": row.to_eager.value,
            "interval": [row.to_eager.low, row.to_eager.high],
            "max_error": row.parity.max_error,
            "meant_to_be_equal": row.exact,
            "answers": row.parity.failure or "equal",
        }
        for row in record.latency
    ]
    return {"rows": rows, "missing": record.unavailable, "failures": record.failures, "config": config.model_dump()}


def latency(job: Job) -> dict[str, Any]:
    exact = ("eager-cuda", "torchscript-cuda", "cuda-graph", "onnxruntime-cuda")
    rounded = ("eager-cuda-bf16", "cuda-graph-bf16")
    return _measured(job, {"cuda": (*exact, *rounded), "cpu": ("torchscript", "onnxruntime", "eager-bf16")})


def _compiled(on_cuda: str, on_cpu: str, job: Job) -> dict[str, Any]:
    """Measure compiled models at the smallest and the largest batch: each is compiled anew."""
    name = on_cuda if job.kind == "cuda" else on_cpu
    if not name:
        return {"missing": {on_cuda: f"device {job.device} has nothing like it"}}
    sizes = job.batch_sizes[-1:] if job.small else (job.batch_sizes[0], job.batch_sizes[-1])
    return _measured(job, {job.kind: (name,)}, sizes)


def training(job: Job) -> dict[str, Any]:
    """Train the same model on the same events in float32 on the CPU and on the device, and in bfloat16 there.

    Raises:
        CheckError: a loss of an epoch is off by more than `LOSSES_AGREE` of the CPU's.
    """
    dataset = Dataset.build(read_interactions(_write_events(job), Settings().data))
    model = Architecture(dim=32, num_heads=2, num_blocks=1, ff_width=64, max_length=20, head_widths=(), dropout=0.0)
    kinds = {"cpu float32": ("cpu", "float32")}
    kinds |= {f"{job.device} {precision}": (job.device, precision) for precision in ("float32", "bfloat16")}
    runs: dict[str, Any] = {}
    for name, (device, precision) in kinds.items():
        config = TrainConfig(epochs=1 if job.small else 3, batch_events=1200, precision=precision)  # type: ignore[arg-type]
        out = job.folder / f"trained-{device}-{precision}"
        train(dataset, Settings(model=model, training=config), out, world=World(device=device))
        epochs = load_run(out).epochs
        runs[name] = {
            "loss": [epoch["loss"] for epoch in epochs],
            "ndcg_at_10": [epoch["validation"]["ndcg_10"] for epoch in epochs],
            "rows_per_s": [epoch["rows_per_s"] for epoch in epochs],
        }
    truth = np.array(runs["cpu float32"]["loss"])
    off = {name: float(np.abs(np.array(run["loss"]) / truth - 1).max()) for name, run in runs.items()}
    if wrong := {name: error for name, error in off.items() if not error <= LOSSES_AGREE}:
        raise CheckError(f"losses are off by {wrong} of those of the CPU, {LOSSES_AGREE} is allowed: {runs}")
    return {"runs": runs, "loss_off_by": off, "allowed": LOSSES_AGREE}


def _write_events(job: Job) -> Path:
    """Write users who step through the items in order, with some steps at random, so that there is something to
    learn.
    """
    users, length, items = (60, 12, 40) if job.small else (3000, 30, 500)
    rng = np.random.default_rng(0)
    steps = np.where(rng.random((users, length)) < 0.8, 1, rng.integers(1, items, (users, length)))
    walks = (rng.integers(0, items, (users, 1)) + steps.cumsum(axis=1)) % items + 1
    columns = {
        "user_id": np.repeat(np.arange(users), length),
        "item_id": walks.ravel(),
        "timestamp": np.tile(np.arange(length), users),
    }
    path = job.folder / "events.csv"
    pl.DataFrame(columns).write_csv(path)
    return path


def _gradients_off_by(job: Job) -> float:
    """Return the largest difference of a wrapped model's gradients from the plain one's, relative to the largest
    gradient.

    A function of its own, because the wrapped model must be freed before its world: freed later, it waits for the
    threads of the world while it holds the lock of Python that they wait for.
    """
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(50, 16), torch.nn.Linear(16, 8)).to(job.device)
    rows = torch.arange(50, device=job.device)
    plain = torch.autograd.grad(model(rows).square().mean(), list(model.parameters()))
    wrapped = DistributedDataParallel(model, device_ids=[job.device] if job.kind == "cuda" else None)
    wrapped(rows).square().mean().backward()
    largest = max(float(gradient.abs().max()) for gradient in plain)
    pairs = zip(model.parameters(), plain, strict=True)
    return max(float((part.grad - want).abs().max()) for part, want in pairs if part.grad is not None) / largest


def collectives(job: Job) -> dict[str, Any]:
    """Join a world of one process by nccl (gloo on the CPU): test sums, gathers, and the gradients of a wrapped model.

    Raises:
        CheckError: one of them differs from the result without that world.
    """
    backend = "nccl" if job.kind == "cuda" else "gloo"
    if job.kind == "cuda":
        torch.cuda.set_device(job.device)
    dist.init_process_group(backend, init_method=f"file://{job.folder / 'meeting'}", rank=0, world_size=1)
    try:
        numbers = torch.arange(8.0, device=job.device)
        summed = numbers.clone()
        dist.all_reduce(summed)
        gathered = [torch.empty_like(numbers)]
        dist.all_gather(gathered, numbers)
        off = _gradients_off_by(job)
    finally:
        dist.destroy_process_group()
    if not (torch.equal(summed, numbers) and torch.equal(gathered[0], numbers) and off <= GRADIENTS_AGREE):
        raise CheckError(f"{backend} with one process gives {summed.tolist()}, {gathered}, gradients off by {off:.1e}")
    missing = {} if backend == "nccl" else {"nccl": f"device {job.device} has none; gloo was used in its place"}
    return {"backend": backend, "gradients_off_by": off, "allowed": GRADIENTS_AGREE, "missing": missing}


PARTS = {
    part.name: part
    for part in (
        Part("collectives", "nccl with one process", 30, collectives),
        Part("training", "the loss in float32 and bfloat16 beside the CPU's", 60, training),
        Part("latency", "eager, TorchScript, CUDA graphs and ONNX Runtime", 100, latency),
        Part("compiled", "torch.compile in float32", 80, partial(_compiled, "compile-cuda", "compile")),
        Part("compiled-bf16", "torch.compile in bfloat16", 60, partial(_compiled, "compile-cuda-bf16", "")),
        Part("aotinductor", "an AOTInductor package in float32", 80, partial(_compiled, "aotinductor-cuda", "")),
        Part("aotinductor-bf16", "the same in bfloat16", 60, partial(_compiled, "aotinductor-cuda-bf16", "")),
    )
}
