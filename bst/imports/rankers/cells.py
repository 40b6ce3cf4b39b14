"""The cells of a ranker: their tensors, which need no other arithmetic than other names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from bst.imports.rankers.account import Account, Shape

ATTENTION = {
    "in_proj_weight": "attention.query_key_value.weight",
    "in_proj_bias": "attention.query_key_value.bias",
    "out_proj.weight": "attention.dense.weight",
    "out_proj.bias": "attention.dense.bias",
}


@dataclass(frozen=True)
class CellNames:
    """Names of the tensors of a cell in a library.

    Attributes:
        prefix: of all cells; the number of the cell follows.
        attention: of `torch.nn.MultiheadAttention` in a cell.
        layers: a library's name of each layer of weight and bias, and the one in `ClickBST`.
    """

    prefix: str
    attention: str
    layers: Mapping[str, str]

    def tensors(self) -> dict[str, str]:
        """Return the library's name of each tensor of a cell, and the name in `ClickBST`."""
        names = {f"{self.attention}.{theirs}": ours for theirs, ours in ATTENTION.items()}
        for theirs, ours in self.layers.items():
            names |= {f"{theirs}.{kind}": f"{ours}.{kind}" for kind in ("weight", "bias")}
        return names


def take_cells(
    account: Account, names: CellNames, dim: int, heads: int, holder: str = ""
) -> tuple[dict[str, Tensor], ...]:
    """Take the tensors of all cells of width `dim`, by their names in a cell of `ClickBST`.

    `holder` is what stands before `cells` in their names in the run: of another sequence than the history.
    """
    pattern = re.compile(rf"{re.escape(names.prefix)}\.(\d{{1,4}})\..+")
    numbers = sorted({int(match[1]) for name in account.tensors if (match := pattern.fullmatch(name))})
    if numbers != list(range(len(numbers))) or not numbers:
        listed = ", ".join(map(str, numbers[:9])) or "none"
        account.offences.append(f"{names.prefix}.0 and following are missing: there are {listed}")
        numbers = numbers[:1] or [0]
    joint = account.tensors.get(f"{names.prefix}.{numbers[0]}.{names.attention}.in_proj_weight")
    if joint is not None and joint.dim() == 2 and joint.size(1) != dim:
        account.offences.append(
            f"the attention is {joint.size(1)} wide, and the fields together {dim}: a field is missing, too many, or "
            "has another table"
        )
        dim = joint.size(1)
    if dim % heads:
        account.offences.append(f"{heads} heads do not divide the width {dim}")
    return tuple(_take_cell(account, names, number, dim, holder) for number in numbers)


def _take_cell(account: Account, names: CellNames, number: int, dim: int, holder: str) -> dict[str, Tensor]:
    cell: dict[str, Tensor] = {}
    for theirs, ours in names.tensors().items():
        wide = cell["ff_1.weight"].size(0) if "ff_1.weight" in cell else None
        place = f"{holder}cells.{number}.{ours}"
        cell[ours] = account.take(f"{names.prefix}.{number}.{theirs}", _shape(ours, dim, wide), place)
    return cell


def _shape(name: str, dim: int, wide: int | None) -> Shape:
    """Return the shape of a tensor of a cell; the first layer of the feed-forward network decides its width."""
    special: dict[str, Shape] = {
        "attention.query_key_value.weight": (3 * dim, dim),
        "attention.query_key_value.bias": (3 * dim,),
        "attention.dense.weight": (dim, dim),
        "ff_1.weight": (None, dim),
        "ff_1.bias": (wide,),
        "ff_2.weight": (dim, wide),
    }
    return special.get(name, (dim,))
