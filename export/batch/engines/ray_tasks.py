"""The engine `ray`: a task a unit, on the cluster of `RAY_ADDRESS` or on a local one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from typing import Any

from bst.errors import CheckError, InputError, reason
from bst.system.processes import environment
from export.batch.engines.local import ONE_THREAD
from export.batch.shards import ShardRecord
from export.batch.units import Unit

RETRIES = 3  # of a unit whose worker was lost; it gives the same bytes


def map_in_ray(function: Callable[[Unit], ShardRecord], units: Sequence[Unit], workers: int) -> Generator[ShardRecord]:
    """Map a function over units as tasks of one core each, so many at once; see `Engine.map`.

    A cluster that this process has not joined is joined, or started here with one core a worker, and left again. Ray's
    usage statistics are off unless the environment says otherwise.

    Raises:
        CheckError: the workers of a unit were lost again and again. What `function` raises is raised here.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when ray is imported
    import ray

    joined_here = not ray.is_initialized()
    if joined_here:
        _join(ray, workers)
    try:
        task = ray.remote(num_cpus=1, max_retries=RETRIES)(function_of_unit)
        work = ray.put(function)
        todo, running = iter(units), {}
        for unit in todo:
            running[task.remote(work, unit)] = unit
            if len(running) == workers:
                break
        while running:
            done, _ = ray.wait(list(running))
            for reference in done:
                unit = running.pop(reference)
                yield _result(ray, reference, unit)
                if (following := next(todo, None)) is not None:
                    running[task.remote(work, following)] = following
    finally:
        if joined_here:
            ray.shutdown()


def _join(ray: Any, workers: int) -> None:
    """Join the cluster of the environment, or start one; signals stay with the handlers that this process has."""
    here: dict[str, Any] = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers, "include_dashboard": False}
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    with environment(ONE_THREAD):
        ray.init(log_to_driver=False, logging_level="ERROR", **here)
    if in_main:
        signal.signal(signal.SIGTERM, handler)


def function_of_unit(function: Callable[[Unit], ShardRecord], unit: Unit) -> ShardRecord:
    """Call a function, in a worker of Ray."""
    return function(unit)


def _result(ray: Any, reference: object, unit: Unit) -> ShardRecord:
    from ray import exceptions

    try:
        return ray.get(reference)
    except exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, InputError | CheckError | OSError):
            raise cause from None
        raise CheckError(f"{unit}: {reason(cause)}") from None
    except exceptions.RayError as error:
        raise CheckError(
            f"the worker at {unit} was lost {RETRIES + 1} times ({reason(error)}); what was finished is kept: "
            "--resume goes on"
        ) from None
