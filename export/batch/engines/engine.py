"""The engines by name: a way to spread units over workers is a value, and a new one is added to the registry."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from bst.errors import InputError
from bst.system.registry import Registry
from export.batch.engines.local import map_in_processes
from export.batch.engines.ray_tasks import map_in_ray
from export.batch.shards import ShardRecord
from export.batch.units import Unit

Work = Callable[[Unit], ShardRecord]


@dataclass(frozen=True)
class Engine:
    """An engine. It does nothing but map: units and shards look after themselves.

    Attributes:
        name: on the command line.
        map: calls a function, which travels by pickle, for every unit, with so many workers at most; yields records in
            the order in which they are done. A unit may be given to two workers, or twice to one.
        extra: the extra of this package that it needs, which has the name of the module; None if it needs none.
    """

    name: str
    map: Callable[[Work, Sequence[Unit], int], Generator[ShardRecord]]
    extra: str | None = None

    def require(self) -> None:
        """Refuse an engine that is not installed.

        Raises:
            InputError: the message names the extra.
        """
        if self.extra is not None and find_spec(self.extra) is None:
            raise InputError(
                f"--engine {self.name} needs the package {self.extra}, which is not installed; say: "
                f"pip install 'bst-recommender[{self.extra}]'"
            )


ENGINES: Registry[Engine] = Registry(
    "engine", (Engine("local", map_in_processes), Engine("ray", map_in_ray, extra="ray"))
)
