"""Every setting, as frozen, validated values. A default is written here and nowhere else."""

from __future__ import annotations

import keyword
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Words of the signatures, of the tables, and of the code that is made around a model's inputs.
SIGNATURE_WORDS = ("history", "items", "context", "candidates", "scores", "item_ids", "item_indices", "user_vector")
RESERVED_NAMES = frozenset((*SIGNATURE_WORDS, "user", "item", "time", "self", "torch", "Tensor", "List", "Tuple"))

Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Frozen(BaseModel):
    """A value: unknown keys are refused, nothing is converted silently, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _check_names(names: tuple[str, ...]) -> None:
    for name in names:
        if not name.isidentifier() or keyword.iskeyword(name) or name in RESERVED_NAMES:
            raise ValueError(
                f"context feature {name!r} cannot be the name of a model input; rename the column to a Python "
                f"identifier other than {', '.join(sorted(RESERVED_NAMES))}"
            )
        if names.count(name) > 1:
            raise ValueError(f"context feature {name!r} is named twice; once is enough")


class ContextFeature(Frozen):
    """One categorical input beside the history. Index 0 is the unknown category, a row of its own."""

    name: str
    num_categories: Positive
    dim: Positive

    @model_validator(mode="after")
    def _name_can_be_an_input(self) -> Self:
        _check_names((self.name,))
        return self


class Architecture(Frozen):
    """The sizes that a person chooses; those that the data gives are added by `BSTConfig`.

    `padding="ignored"` makes a padded slot as good as absent. `"counted"` is for models of the seed notebook, which
    were trained so: only as attention keys are padded slots hidden; positions count slots from the left, and the mean
    is over all slots, padded ones included.
    """

    dim: Positive = 64
    num_heads: Positive = 4
    num_blocks: Positive = 2
    ff_width: Positive = 256
    max_length: Positive = 50
    head_widths: tuple[Positive, ...] = (256,)
    context_dim: Positive = 10
    pooling: Literal["last", "mean"] = "last"
    padding: Literal["ignored", "counted"] = "ignored"
    tied_output: bool = False
    dropout: Fraction = 0.2
    init_method: Literal["xavier", "kaiming"] = "xavier"

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.dim % self.num_heads:
            below = self.dim // self.num_heads * self.num_heads
            fitting = " or ".join(str(dim) for dim in (below, below + self.num_heads) if dim)
            raise ValueError(f"dim={self.dim} does not divide into num_heads={self.num_heads}; try {fitting}")
        if not self.head_widths and not self.tied_output:
            raise ValueError("head_widths=[] needs tied_output=true; give at least one width or tie the output layer")
        if self.padding == "counted" and self.pooling != "mean":
            raise ValueError(f"padding='counted' with pooling={self.pooling!r}; the notebook's models pool by mean")
        return self


class BSTConfig(Architecture):
    """All that `BST` needs to be built. `context` fixes the order of the context features."""

    num_items: Positive
    context: tuple[ContextFeature, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        _check_names(tuple(feature.name for feature in self.context))
        return self

    @property
    def user_width(self) -> int:
        """Width of the user vector whose inner product with an output row is a score."""
        return self.dim if self.tied_output else self.head_widths[-1]


class DataConfig(Frozen):
    """Where in the tables things stand."""

    user_column: str = "user_id"
    item_column: str = "item_id"
    time_column: str = "timestamp"
    context: tuple[str, ...] = ()
    text_ids: bool = False

    @model_validator(mode="after")
    def _context_is_beside_the_events(self) -> Self:
        _check_names(self.context)
        taken = {self.user_column, self.item_column, self.time_column} & set(self.context)
        if taken:
            raise ValueError(f"context feature {taken.pop()!r} is a column of the events themselves; leave it out")
        return self


class TrainConfig(Frozen):
    """How the weights are found. `batch_size` counts windows of at most `max_length` events."""

    epochs: Positive = 16
    batch_size: Positive = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    schedule: Literal["constant", "cosine", "multistep"] = "cosine"
    milestones: tuple[Positive, ...] = ()
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    clip_norm: Annotated[float, Field(gt=0)] | None = 5.0
    filter_seen: bool = True
    seed: int = 0

    @model_validator(mode="after")
    def _milestones_go_with_multistep(self) -> Self:
        if bool(self.milestones) != (self.schedule == "multistep"):
            raise ValueError(
                f"milestones={list(self.milestones)} with schedule={self.schedule!r}; "
                "milestones (counted in epochs) belong to schedule='multistep', which needs at least one"
            )
        return self


class Settings(Frozen):
    """What a `train.toml` may hold: the tables `[model]`, `[training]` and `[data]`, every key optional."""

    model: Architecture = Architecture()
    training: TrainConfig = TrainConfig()
    data: DataConfig = DataConfig()
