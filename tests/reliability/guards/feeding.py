"""The process in which readers are fed: what each input does there is written down, as far as the process lives."""

from __future__ import annotations

import faulthandler
import json
import os
import random
import re
import resource
import shutil
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from tests.reliability.guards.mutate import mutated

SECONDS = 10
MEMORY = 2**30
LONGEST = 5000  # characters of a message: it may list every tensor, but not what is in them
OURS = re.compile(r'File "[^"]*?/((?:bst|export|bench)/\w+\.py)", line (\d+)')
ALLOCATION = re.compile(
    r"(can't|cannot|failed to|tried to|unable to) allocate|bad_alloc|MemoryError|out of memory", re.IGNORECASE
)
STARTS = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.bind")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class TrespassError(BaseException):
    """Something was started, connected to or written that no reader should; nothing that is asked may catch it."""


@dataclass(frozen=True)
class Input:
    """One spoilt `file` for one reader. `label` says which it is: its number, or the name of a crasher."""

    reader: str
    label: str
    file: str


@dataclass(frozen=True)
class Failure:
    """What an input did; `kind` and `place` tell failures apart."""

    given: Input
    kind: str
    place: str
    said: str


@dataclass(frozen=True)
class Plan:
    """What each of `readers` is fed: so many inputs, or as many as go into so many seconds; or what lies in
    `crashers`, in `<reader>/<what it is>/<file>`. Each has `patience` seconds for one input."""

    readers: tuple[str, ...]
    seed: int = 0
    seconds: float = 1e9
    inputs: int = 10**9
    crashers: Path | None = None
    patience: int = SECONDS


class Feeder:
    """Feeds readers with files in `work/files`, and tells in `work/told` and `work/trace`."""

    def __init__(self, plan: Plan, work: Path) -> None:
        self.plan, self.files, self.elsewhere = plan, work / "files", work / "elsewhere"
        self.told, self.trace = (work / "told").open("w", buffering=1), (work / "trace").open("w")
        self.trespass: str | None = None
        self.watching = False
        self.elsewhere.mkdir()
        os.chdir(self.elsewhere)
        os.dup2(self.trace.fileno(), 2)  # where native code says why it dies
        faulthandler.enable(self.trace)
        sys.dont_write_bytecode = True
        sys.addaudithook(self._hear)

    def feed(self, name: str, first: int, spent: float) -> None:
        """Feed one reader from its input number `first` on."""
        from tests.reliability.guards.readers import BROKEN, READERS

        reader = READERS.get(name, BROKEN)
        for file in reader.files:  # what is whole must be read; and what is loaded late is there from now on
            reader.read(self.files, file)
        started = perf_counter() - spent
        for given, content in inputs(self.plan, name, reader.files, self.files, first):
            elapsed = perf_counter() - started
            if elapsed > self.plan.seconds:
                return
            print(json.dumps({"at": asdict(given), "spent": elapsed}), file=self.told)
            before = (self.files / given.file).read_bytes()
            (self.files / given.file).write_bytes(content)
            if failure := self._failure(reader, given):
                print(json.dumps({"failure": asdict(failure), "content": content.hex()}), file=self.told)
            (self.files / given.file).write_bytes(before)

    def _failure(self, reader: Any, given: Input) -> Failure | None:
        from bst.errors import CheckError, InputError

        kind, said = None, ""
        with self._watched():
            try:
                reader.read(self.files, given.file)
            except (InputError, CheckError) as error:
                kind, said, trace = unreadable(str(error), reader.files), str(error), traceback.format_exc()
            except BaseException as error:
                kind, said, trace = type(error).__qualname__, str(error), traceback.format_exc()
        if left := self.trespass or os.listdir(self.elsewhere):
            kind, said, trace = "TrespassError", str(left), traceback.format_exc()
            self._empty_elsewhere()
        return Failure(given, kind, place_in(trace), said[:300]) if kind else None

    def _empty_elsewhere(self) -> None:
        """What one input left there is not held against the next."""
        shutil.rmtree(self.elsewhere)
        self.elsewhere.mkdir()
        os.chdir(self.elsewhere)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Bound time and memory, and hear what is opened and started."""
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
        self.trace.truncate(0)
        faulthandler.dump_traceback_later(self.plan.patience, exit=True, file=self.trace)
        self.watching, self.trespass = True, None
        try:
            yield
        finally:
            self.watching = False
            faulthandler.cancel_dump_traceback_later()
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def _hear(self, event: str, arguments: Any) -> None:
        if not self.watching:
            return
        written = event == "open" and arguments[2] & WRITES and not str(arguments[0]).startswith(str(self.files))
        if written or event in STARTS:
            self.trespass = f"{event} {arguments}"
            raise TrespassError(self.trespass)


def inputs(plan: Plan, name: str, files: tuple[str, ...], folder: Path, first: int) -> Iterator[tuple[Input, bytes]]:
    """Give the inputs of a reader from number `first` on: the same ones whenever seed and files are the same."""
    if plan.crashers:
        for path in sorted(one for one in (plan.crashers / name).rglob("*") if one.is_file())[first:]:
            label, *parts = path.relative_to(plan.crashers / name).parts
            yield Input(name, label, "/".join(parts)), path.read_bytes()
        return
    for number in range(first, plan.inputs):
        rng = random.Random(f"{plan.seed} {name} {number}")
        file = rng.choice(files)
        yield Input(name, str(number), file), mutated(file, (folder / file).read_bytes(), rng)


def unreadable(message: str, files: tuple[str, ...]) -> str | None:
    """What is wrong with a message about one of `files`."""
    if "\n" in message or not message:
        return "a message of several lines, or none"
    if len(message) > LONGEST:
        return "an endless message"
    if ALLOCATION.search(message):
        return "more memory than there should be"
    named = any(part in message for file in files for part in Path(file).parts)
    return None if named else "a message that names no file"


def place_in(trace: str) -> str:
    """The innermost line of ours in a traceback of Python, where it is last, or of faulthandler, where it is first."""
    found = OURS.findall(trace) or [("elsewhere", "0")]
    return ":".join(found[0] if "most recent call first" in trace else found[-1])


def be_fed(plan: Plan, work: Path, counts: dict[str, int], spent: dict[str, float]) -> None:
    """Feed what `counts` says was not fed yet."""
    warnings.simplefilter("ignore")
    feeder = Feeder(plan, work)
    for name in plan.readers:
        feeder.feed(name, counts.get(name, 0), spent.get(name, 0.0))
    os._exit(0)  # whatever a spoilt file left behind may break an orderly end
