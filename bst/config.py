"""Every setting, as frozen, validated values. A default is written here and nowhere else."""

from __future__ import annotations

import keyword
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bst.errors import InputError
from bst.system.machine import memory_bytes

# Words of the signatures, of the tables, and of the code that is made around a model's inputs.
INPUT_WORDS = ("history", "items", "context", "candidates", "k")
OUTPUT_WORDS = ("scores", "item_ids", "item_indices", "user_vector")
OTHER_WORDS = ("user", "item", "time", "self", "torch", "Tensor", "List", "Tuple")
RESERVED_NAMES = frozenset((*INPUT_WORDS, *OUTPUT_WORDS, *OTHER_WORDS))

# Beyond this many items a full softmax is not practical on a CPU.
FULL_SOFTMAX_ITEMS = 50_000
FLOAT_BYTES = 4
# Above this share of targets that are in their own history, no metric leaves out the items of the history.
RETURNING = 0.03

Positive = Annotated[int, Field(ge=1)]
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
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


def _check_names(names: tuple[str, ...]) -> None:
    for name in names:
        if not is_plain_name(name) or name in RESERVED_NAMES:
            raise ValueError(
                f"context feature {name!r} cannot be the name of a model input; rename the column to an ASCII "
                f"identifier of Python other than {', '.join(sorted(RESERVED_NAMES))}"
            )
        if names.count(name) > 1:
            raise ValueError(f"context feature {name!r} is named twice; once is enough")


def _require_different(what: str, names: tuple[str, ...]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{what} {', '.join(map(repr, twice))} is named twice; once is enough")


class ContextFeature(Frozen):
    """One categorical input beside the history. Index 0 is the unknown category, a row of its own."""

    name: str
    num_categories: Positive
    dim: Positive

    @model_validator(mode="after")
    def _name_can_be_an_input(self) -> Self:
        _check_names((self.name,))
        return self


class ItemFeature(Frozen):
    """A feature of the items, which stands in a table of the model: a caller gives item ids alone.

    Attributes:
        num_categories: how many there are; category 0 is the unknown one, with a vector of its own.
        num_values: how many of them an item has at most, such as its genres.
    """

    name: str
    num_categories: Positive
    num_values: Positive = 1


class Architecture(Table):
    """The sizes of a model that a user chooses.

    Those that the data gives are added by `BSTConfig`.
    """

    dim: Positive = 128
    """Width of the item vectors; a multiple of `num_heads`."""
    num_heads: Positive = 4
    """Heads of attention in each block."""
    num_blocks: Positive = 2
    """Transformer blocks, one upon the other."""
    ff_width: Positive = 256
    """Width of the feed-forward layer in each block."""
    max_length: Positive = 50
    """The number of newest events of a history that are read."""
    head_widths: tuple[Positive, ...] = (256,)
    """Widths of the layers between the pooled history and the output layer."""
    context_dim: Positive = 10
    """Width of the vector of each context feature."""
    pooling: Literal["last", "mean"] = "last"
    """The summary of the history: the state of its last event, or the mean of all states."""
    padding: Literal["ignored", "counted"] = "ignored"
    """`ignored` makes padded slots absent. `counted` is for models of the seed notebook, which were trained so: padded
    slots are hidden only as attention keys; positions count slots from the left, and the mean is over all slots, padded
    ones included."""
    tied_output: bool = True
    """Scores are inner products with the item vectors; if false, the output layer has weights of its own."""
    dropout: Fraction = 0.3
    """Share of the activations that training leaves out at random."""
    id_dropout: Fraction = 0.1
    """Share of the items whose own vector training leaves out at random, so that their features learn to stand for
    them; used where there are item features."""
    init_method: Literal["xavier", "kaiming"] = "xavier"
    """The random initialisation of matrices."""

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
    """The arguments of `BST`. `context` fixes the order of the context features."""

    num_items: Positive
    context: tuple[ContextFeature, ...] = ()
    item_features: tuple[ItemFeature, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        _check_names(tuple(feature.name for feature in self.context))
        _require_different("item feature", tuple(feature.name for feature in self.item_features))
        return self

    @property
    def user_width(self) -> int:
        """Width of the user vector whose inner product with an output row is a score."""
        return self.dim if self.tied_output else self.head_widths[-1]

    @property
    def head_sizes(self) -> tuple[int, ...]:
        """Widths of the head, from the pooled history with the context beside it to the user vector."""
        pooled = self.dim + sum(feature.dim for feature in self.context)
        return (pooled, *self.head_widths, *([self.dim] * self.tied_output))

    @property
    def encoder_weights(self) -> int:
        """The number of weights that every call reads besides embeddings and output layer: those of cells and head."""
        dim, wide = self.dim, self.ff_width
        cell = 4 * dim * dim + 2 * dim * wide + wide + dim + 4 * dim
        return self.num_blocks * cell + sum((width + 1) * following for width, following in pairwise(self.head_sizes))

    @property
    def stored_bytes(self) -> int:
        """The bytes of the weights and buffers that a run keeps of a model."""
        items = (self.num_items + 1) * self.dim
        categories = sum((feature.num_categories + 1) * feature.dim for feature in self.context)
        output = self.num_items + 1 if self.tied_output else self.num_items * (self.user_width + 1)
        positions = (self.max_length + 1) * self.dim
        # The values of item features are int32, as wide as a weight.
        width = self.dim if self.tied_output else self.dim + self.user_width
        values = (self.num_items + 1) * sum(feature.num_values for feature in self.item_features)
        features = values + width * sum(feature.num_categories + 1 for feature in self.item_features)
        return FLOAT_BYTES * (items + categories + features + self.encoder_weights + output + positions)

    def require_memory(self, copies: int, beside: int = 0) -> None:
        """Refuse a model whose `copies`, one mask, and the bytes `beside` them exceed free memory.

        Raises:
            InputError: the message has both sizes and the settings that decide them.
        """
        needed = copies * self.stored_bytes + (self.max_length + 1) ** 2 + beside
        free = memory_bytes("MemAvailable")
        if free is not None and needed > free:
            raise InputError(
                f"a model of num_items={self.num_items}, dim={self.dim}, max_length={self.max_length} needs "
                f"{needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} are free; make it smaller"
            )


class DataConfig(Table):
    """The columns of the tables, and the events that are held out."""

    user_column: str = "user_id"
    """The column of users."""
    item_column: str = "item_id"
    """The column of items."""
    time_column: str = "timestamp"
    """The column of times."""
    context: tuple[str, ...] = ()
    """Names of columns that are context features. Where one changes from event to event, the value is taken from the
    event to be predicted, so it must be known before that event."""
    text_ids: bool = False
    """Keep ids as text, also where they are numbers."""
    time_format: Annotated[str | None, Field(examples=["%d/%m/%Y %H:%M"])] = None
    """The format of times, as in strftime; numbers and dates that begin with the year need none."""
    drop_repeats: bool = False
    """Leave out events that repeat the item of the one before."""
    split_at: Annotated[str | None, Field(examples=["2024-01-01"])] = None
    """A time of the table. Events before it are for training, and the first event of each user from then on is the
    test; without it, the last event of each user is."""
    separator: Annotated[str | None, Field(examples=[";"])] = None
    """The text between fields; detected, if it is not given."""
    columns: tuple[str, ...] = ()
    """Names of the fields of a text without a header."""
    no_header: bool = False
    """The first line of a text is data; the columns are `columns`, or `column_1` and so on."""
    ragged: bool = False
    """Each line of a text is a user and then any number of items, oldest first."""
    file_order: bool = False
    """The rows stand in order of time; no column of times is read."""
    users_key: Annotated[str | None, Field(examples=["id"])] = None
    """The column of users in the users' table, where it has another name there."""
    users_columns: tuple[str, ...] = ()
    """Names of the fields of a users' table without a header."""
    items_key: Annotated[str | None, Field(examples=["id"])] = None
    """The column of items in the items' table, where it has another name there."""
    items_columns: tuple[str, ...] = ()
    """Names of the fields of an items' table without a header."""
    name_column: Annotated[str | None, Field(examples=["name"])] = None
    """The column of names in the items' table."""
    item_features: tuple[str, ...] = ()
    """Columns of the items' table that the model learns from."""
    value_separator: Annotated[str | None, Field(examples=["|"])] = None
    """What stands between the values of an item feature, where an item has several."""
    where: tuple[str, ...] = ()
    """Conditions such as `event_type=purchase` or `rating=4,5` on the events that are read; all must hold."""
    min_count: Annotated[Positive | None, Field(examples=[5])] = None
    """Users and items with fewer events are left out, again and again until there are none."""

    @model_validator(mode="after")
    def _options_do_not_contradict(self) -> Self:
        timed = {
            "time_column": self.time_column != DataConfig.model_fields["time_column"].default,
            "time_format": self.time_format is not None,
            "split_at": self.split_at is not None,
        }
        for order in ("file_order", "ragged"):
            for name in (name for name, used in timed.items() if used and getattr(self, order)):
                raise ValueError(
                    f"--{order.replace('_', '-')} takes no times from the table, so --{name.replace('_', '-')} "
                    f"{getattr(self, name)} contradicts it; leave one out"
                )
        for option, names in (
            ("--columns", self.columns),
            ("--users-columns", self.users_columns),
            ("--items-columns", self.items_columns),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{option} names {', '.join(map(repr, twice))} twice; give each a name of its own")
        if self.ragged and self.columns:
            raise ValueError("--ragged lines are a user and items, so --columns contradicts it; leave one out")
        return self

    @model_validator(mode="after")
    def _context_is_beside_the_events(self) -> Self:
        _check_names(self.context)
        named = (self.user_column, self.item_column, self.time_column)
        if len(set(named)) < len(named):
            raise ValueError(f"users, items and times are in the columns {', '.join(named)}; name three different ones")
        _require_different("item feature", self.item_features)
        if self.value_separator is not None and not (self.value_separator and self.item_features):
            raise ValueError(
                f"value_separator={self.value_separator!r} needs at least one character, and item_features to split"
            )
        shared = set(named) & set(self.context)
        if shared:
            raise ValueError(f"context feature {shared.pop()!r} is a column of the events themselves; leave it out")
        return self


class TrainConfig(Table):
    """The training of the weights."""

    epochs: Positive = 16
    """Passes over the data."""
    batch_size: Positive = 32
    """Windows of at most `max_length` events a step, over all processes together."""
    loss: Literal["auto", "full_softmax", "sampled_softmax"] = "auto"
    """`full_softmax` scores the whole catalogue for every example; `sampled_softmax` scores the target and
    `num_negatives` others that a batch shares; `auto` is the full one up to 50,000 items."""
    num_negatives: Positive = 4096
    """Items that `sampled_softmax` draws a step."""
    learning_rate: Above0 = 1e-3
    """The highest step size of AdamW."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """Of matrices only: embeddings, norms and biases do not decay."""
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    """Steps in which the learning rate rises, linearly; at most half of all steps."""
    schedule: Literal["constant", "cosine", "multistep"] = "cosine"
    """The shape of the learning rate after the warm-up."""
    milestones: tuple[Positive, ...] = ()
    """Epochs after which `multistep` multiplies the learning rate by `gamma`."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The factor of `multistep`."""
    clipping: Literal["off", "fixed", "adaptive_epoch", "adaptive_total"] = "fixed"
    """The limit of the total gradient norm: `clip_norm` if `fixed`; `adaptive_epoch` starts there and then is the mean
    plus the standard deviation of the epoch before, `adaptive_total` the mean of all steps before."""
    clip_norm: Above0 = 5.0
    """The largest gradient norm."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16` computes under autocast, with weights and optimiser in float32."""
    compile: bool = False
    """Train through `torch.compile`."""
    patience: Annotated[Positive | None, Field(examples=[3])] = None
    """Stop after this many epochs in a row without a better validation NDCG@10; never, if not given."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 300.0
    """The time between checkpoints; every epoch ends in a checkpoint as well."""
    filter_seen: Annotated[bool | None, Field(examples=[True])] = None
    """Leave the items of the history out of the ranking in metrics, unless the target is one of them. If it is not
    given, they are left out unless more than 3 % of the targets return. A bundle's `top_k` does the same by default."""
    validation_users: Annotated[Positive | None, Field(examples=[1000])] = None
    """The number of random users by which the best epoch is chosen; all, if not given."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Fixes every random choice."""

    @model_validator(mode="after")
    def _milestones_go_with_multistep(self) -> Self:
        if bool(self.milestones) != (self.schedule == "multistep"):
            raise ValueError(
                f"milestones={list(self.milestones)} with schedule={self.schedule!r}; "
                "milestones (counted in epochs) belong to schedule='multistep', which needs at least one"
            )
        return self

    def samples_negatives(self, num_items: int) -> bool:
        return self.loss == "sampled_softmax" or (self.loss == "auto" and num_items > FULL_SOFTMAX_ITEMS)


class Settings(Frozen):
    """The content of a `train.toml`: the tables `[model]`, `[training]` and `[data]`, every key optional."""

    model: Architecture = Architecture()
    training: TrainConfig = TrainConfig()
    data: DataConfig = DataConfig()
