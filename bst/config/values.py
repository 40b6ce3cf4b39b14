"""Frozen values, which all settings are, and the names that an input of a model may have."""

from __future__ import annotations

import keyword
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

# Words of the signatures, of the tables, and of the code that is made around a model's inputs.
INPUT_WORDS = (
    "history",
    "items",
    "events",
    "event_time",
    "request_time",
    "context",
    "numbers",
    "candidates",
    "k",
    "candidate_features",
)
OUTPUT_WORDS = ("scores", "item_ids", "item_indices", "user_vector")
OTHER_WORDS = ("user", "item", "time", "self", "torch", "Tensor", "List", "Tuple")
RESERVED_NAMES = frozenset((*INPUT_WORDS, *OUTPUT_WORDS, *OTHER_WORDS))

# With fewer training events an item than this, most rows of the catalogue have no event in a step.
SPARSE_EVENTS = 30

Positive = Annotated[int, Field(ge=1)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Frozen(BaseModel):
    """A value: unknown keys are refused, nothing is converted silently, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Table(Frozen):
    """A table of `train.toml`. The text below a field is its meaning, which `bst config` prints."""

    model_config = ConfigDict(use_attribute_docstrings=True)


def is_plain_name(name: str) -> bool:
    """Return whether Python and TorchScript accept a text as the name of an argument; TorchScript accepts ASCII
    only.
    """
    return name.isascii() and name.isidentifier() and not keyword.iskeyword(name)


def check_names(names: tuple[str, ...], what: str = "context feature") -> None:
    for name in names:
        if not is_plain_name(name) or name in RESERVED_NAMES:
            raise ValueError(
                f"{what} {name!r} cannot be the name of a model input; rename the column to an ASCII "
                f"identifier of Python other than {', '.join(sorted(RESERVED_NAMES))}"
            )
        if names.count(name) > 1:
            raise ValueError(f"{what} {name!r} is named twice; once is enough")


def require_different(what: str, names: tuple[str, ...]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{what} {', '.join(map(repr, twice))} is named twice; once is enough")
