"""The neutral description of a ranker that another library trained: its fields with their tables, its cells, its head.

Columns and tensors are in the order and the arithmetic of the library; `bst.imports.rankers.folding` turns them into a
`ClickBST`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

Id = int | str


@dataclass(frozen=True)
class Field:
    """A category that the model reads, with its table.

    Attributes:
        rows: float32 `[rows, width]`.
        index: the row of each raw id. The empty text may be among them, though no request can name it.
        unknown: the row of an id that is not in `index`.
        missing: the row of a value that is missing.
    """

    name: str
    rows: Tensor
    index: Mapping[Id, int]
    unknown: int = 0
    missing: int = 0

    @property
    def width(self) -> int:
        return self.rows.size(1)

    @property
    def ids(self) -> list[Id]:
        """The raw ids that a request can name."""
        return [value for value in self.index if value != ""]

    @property
    def nameless(self) -> int:
        """The row of all that a request cannot name: of the empty text where it is an id, else of unknown ids."""
        return self.index.get("", self.unknown)

    def row(self, value: Id | None) -> int:
        """Look up the row of a raw value; None is missing, and so is the empty text unless it is an id."""
        if value is not None and value in self.index:
            return self.index[value]
        return self.missing if value in (None, "") else self.unknown


@dataclass(frozen=True)
class NumberField:
    """A number of the request: the head reads (number - `mean`) / `deviation`, and `fill` for one that is missing."""

    name: str
    mean: float = 0.0
    deviation: float = 1.0
    fill: float = 0.0

    @property
    def stored_mean(self) -> float:
        """The mean in float32, as a run has it."""
        return float(torch.tensor(self.mean, dtype=torch.float32))

    def scaled(self, number: float) -> float:
        """Return how many deviations a number is above `stored_mean`."""
        return (number - self.stored_mean) / self.deviation


@dataclass(frozen=True)
class HeadPart:
    """Columns of the head's input, in the order of the library.

    Attributes:
        kind: the pooled `state` of a pair, or a `target` field, a `context` feature or a `number` by `name`. A target
            field may be read several times.
        vector: of a number, float64 `[width]`: the columns hold the number times this.
    """

    kind: Literal["state", "target", "context", "number"]
    name: str
    width: int
    vector: Tensor | None = None


@dataclass(frozen=True)
class HeadLayer:
    """A layer of the head: float64 `weight` `[out, in]` and `bias` `[out]`, and the function behind it.

    Attributes:
        activation: one of `bst.config.model.HeadActivation`; None for none.
        parameters: those of the activation, by their names in `ClickBST`, float64 `[out]` or `[1]`.
    """

    weight: Tensor
    bias: Tensor
    activation: str | None = None
    parameters: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A sequence and the target behind it, with the encoder that reads them.

    Attributes:
        settings: those of `BSTConfig` that no tensor decides: heads, mask, pooling, places and so on.
        item: the target field that is the item.
        history, target: in the order of their columns, which meet by place.
        partners: the target field of each history field.
        properties: of each target field that is a property of the item, the value of each item.
        cells: tensors by their names in a cell of `ClickBST`.
        positions: float32 `[max_length + 1, width]`, in the order of `ClickBST`; they are added to the columns from
            `positions_at` on. None without positions.
    """

    settings: Mapping[str, Any]
    item: str
    history: tuple[Field, ...]
    target: tuple[Field, ...]
    partners: Mapping[str, str]
    properties: Mapping[str, Mapping[Id, Id | None]]
    cells: tuple[Mapping[str, Tensor], ...]
    positions: Tensor | None
    positions_at: int

    @cached_property
    def dim(self) -> int:
        return self.cells[0]["attention.dense.weight"].size(0)

    @cached_property
    def target_by_name(self) -> Mapping[str, Field]:
        return {target.name: target for target in self.target}

    @property
    def item_history(self) -> Field:
        """The history of the items themselves."""
        return next(each for each in self.history if self.partners.get(each.name) == self.item)

    def is_of_item(self, target: str) -> bool:
        """Return whether a target field follows from the item: it is the item, or a property of it."""
        return target == self.item or target in self.properties

    @property
    def event_fields(self) -> tuple[Field, ...]:
        """The history fields that are asked for with each event."""
        return tuple(each for each in self.history if not self.is_of_item(self.partners.get(each.name, "")))

    @property
    def candidate_fields(self) -> tuple[Field, ...]:
        """The target fields that are asked for with each candidate, in the order of `event_fields`."""
        return tuple(
            self.target_by_name[self.partners[each.name]] for each in self.event_fields if each.name in self.partners
        )


@dataclass(frozen=True)
class Ranker(Pair):
    """A trained ranker: a pair, which is the history and the candidate, and what stands beside it.

    Attributes:
        head_parts: the columns of the head's input; the `state` of each pair is named by its first history field.
        others: the pairs besides the first.
    """

    context: tuple[Field, ...]
    numbers: tuple[NumberField, ...]
    head_parts: tuple[HeadPart, ...]
    head: tuple[HeadLayer, ...]
    others: tuple[Pair, ...] = ()

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return (self, *self.others)


def first_columns(fields: tuple[Field, ...]) -> dict[str, int]:
    """Return the first column of each field, side by side."""
    columns, start = {}, 0
    for each in fields:
        columns[each.name] = start
        start += each.width
    return columns
