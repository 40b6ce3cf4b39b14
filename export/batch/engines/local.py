"""The engine `local`: worker processes of this machine, each with one thread."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from bst.errors import CheckError, InputError, reason
from bst.system.processes import context, end_with_parent, environment, undisturbed_start
from export.batch.shards import ShardRecord
from export.batch.units import Unit

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1")
Work = Callable[[Unit], ShardRecord]


def map_in_processes(function: Work, units: Sequence[Unit], workers: int) -> Generator[ShardRecord]:
    """Map a function over units in processes; see `Engine.map`. They end with the block that iterates.

    When a unit fails, the units that others are at are finished first, and no new ones begin.

    Raises:
        CheckError: a worker ended; the message names its unit. What `function` raises is raised here.
    """
    pool = _start(function, min(workers, len(units)))
    free, busy = list(pool), dict[Connection, tuple[_Worker, Unit]]()
    todo = iter(units)
    failure: BaseException | None = None
    try:
        while True:
            while failure is None and free and (unit := next(todo, None)) is not None:
                worker = free.pop()
                failure = worker.begin(unit)
                busy[worker.connection] = worker, unit
            if not busy:
                break
            ready = wait(list(busy))
            for connection in [each for each in busy if each in ready]:
                worker, unit = busy.pop(connection)
                answer = worker.answer(unit)
                if isinstance(answer, ShardRecord):
                    free.append(worker)
                    yield answer
                else:
                    failure = failure or answer
        if failure is not None:
            raise failure
    finally:
        for worker in pool:
            worker.end()


class _Worker:
    """The parent's side of a worker."""

    def __init__(self, function: Work) -> None:
        self.connection, self.theirs = context().Pipe()
        self.process = context().Process(target=_serve, args=(self.theirs, function), daemon=True)

    def begin(self, unit: Unit) -> BaseException | None:
        """Send a unit; return the error where the process has ended already."""
        try:
            self.connection.send(unit)
        except OSError:
            return self._ended(unit)
        return None

    def answer(self, unit: Unit) -> ShardRecord | BaseException:
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            return self._ended(unit)

    def _ended(self, unit: Unit) -> CheckError:
        self.process.join(timeout=5)
        return CheckError(
            f"the worker at {unit} ended with exit code {self.process.exitcode}, which is -9 where memory runs out; "
            "what was finished is kept: --resume goes on, with fewer --workers if need be"
        )

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


def _start(function: Work, count: int) -> list[_Worker]:
    pool = [_Worker(function) for _ in range(count)]
    with environment(ONE_THREAD, override=True), undisturbed_start():
        for worker in pool:
            worker.process.start()
    for worker in pool:
        worker.theirs.close()
    return pool


def _serve(connection: Connection, function: Work) -> None:
    end_with_parent()
    while True:
        try:
            unit = connection.recv()
        except EOFError:
            return
        connection.send(_answered(function, unit))


def _answered(function: Work, unit: Unit) -> Any:
    try:
        return function(unit)
    except (InputError, CheckError, OSError) as error:
        return error
    except Exception as error:  # another library's, which may not travel by pickle
        return CheckError(f"{unit}: {type(error).__name__}: {reason(error)}")
