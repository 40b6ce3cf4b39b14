"""The sizes of a model: those that a user chooses, and those of the data."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from bst.config.inputs import INPUT_GROUPS, ContextFeature, EventFeature, InputGroup, Number
from bst.config.values import Above0, Finite, Fraction, Frozen, Positive, Table, check_names, require_different
from bst.errors import InputError
from bst.system.machine import memory_bytes

FLOAT_BYTES = 4
# The rows of the table of times between events: unknown, 0 s, and from 2^n s to 2^(n + 1) s, up to 8.5 years and more.
NUM_GAPS = 31


class ItemFeature(Frozen):
    """A feature of the items, which stands in a table of the model: a caller gives item ids alone.

    Attributes:
        num_categories: how many there are; category 0 is the unknown one, with a vector of its own.
        num_values: how many of them an item has at most, such as its genres.
    """

    name: str
    num_categories: Positive
    num_values: Positive = 1


class ItemNumber(Frozen):
    """A number of the items, which the model takes as (number - `mean`) / `deviation`; unknown where it is missing."""

    name: str
    mean: Finite
    deviation: Above0


# What models of a task have where nothing else is said.
TASK_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "next_item": {},
    "click": {"pooling": "target", "tied_output": False},
}


class Architecture(Table):
    """The sizes of a model that a user chooses.

    Those that the data gives are added by `BSTConfig`.
    """

    task: Literal["next_item", "click"] = "next_item"
    """`next_item` scores the whole catalogue by a softmax; `click` puts a candidate behind the history, as one more
    slot of it, and gives the logit of its probability. Where a click model
    does not say otherwise, it pools by target, and has no tied output."""
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
    feature_dim: Annotated[Positive | None, Field(examples=[16])] = None
    """Width of the columns that each item feature, event feature and event time has to itself; without it, they are
    added to the vector of the item."""
    place_dim: Annotated[Positive | None, Field(examples=[16])] = None
    """Width of the columns that places have to themselves; without it, they are added to the vector of the item."""
    context_dim: Positive = 10
    """Width of the vector of each context feature."""
    activation: Literal["relu", "leaky_relu", "gelu"] = "relu"
    """The function between the two layers of the feed-forward network."""
    norm: Literal["post", "none"] = "post"
    """`post` normalises after attention and after the feed-forward network; `none` leaves both out."""
    norm_epsilon: Above0 = 1e-5
    """What is added to a variance before its root is taken."""
    residual: bool = True
    """Attention and the feed-forward network add to their input; if false, they replace it."""
    attention_biases: bool = False
    """The projections of attention have biases."""
    mask: Literal["causal", "full"] = "causal"
    """`causal` lets an event attend to itself and what was before it; `full` to all events, and to the candidate of a
    click model. Only a causal next-item model can be trained on all prefixes of a history at once, as `bst train`
    does."""
    places: Literal["newest", "oldest", "none"] = "newest"
    """Places in a history count from its newest event or from the oldest one that is read; `none` leaves them out. A
    candidate has a place of its own."""
    place_vectors: Literal["sinusoidal", "learned"] = "sinusoidal"
    """The vectors of places stay sinusoids, or are learned from there on."""
    event_times: Literal["none", "to_next", "to_request"] = "none"
    """The model reads the time from each event to the next one, or to the request. The last event has no next one: the
    request stands for it. `to_request` is for click models alone to be trained on: a next-item model learns from all
    prefixes of a history at once, and each would have a request of its own."""
    pooling: Literal["last", "mean", "sum", "target"] = "last"
    """The summary of the history: the state of its last event, or the mean or sum of all states. Of a click model: the
    state of the candidate (`target`), or the mean or sum of all states with it."""
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

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_task(cls, values: Any) -> Any:
        return {**TASK_DEFAULTS.get(str(values.get("task")), {}), **values} if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _the_task_fits(self) -> Self:
        click = self.task == "click"
        if click and self.pooling == "last":
            raise ValueError("pooling='last' with task='click'; a click model pools by target, mean or sum")
        if click and self.tied_output:
            raise ValueError("tied_output=true with task='click'; a click model has no output layer, so say false")
        if click and self.padding == "counted":
            raise ValueError("padding='counted' with task='click'; the notebook's models are of next items")
        if not click and self.pooling == "target":
            raise ValueError("pooling='target' with task='next_item'; only a model of task='click' has a target inside")
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.dim % self.num_heads:
            below = self.dim // self.num_heads * self.num_heads
            fitting = " or ".join(str(dim) for dim in (below, below + self.num_heads) if dim)
            raise ValueError(f"dim={self.dim} does not divide into num_heads={self.num_heads}; try {fitting}")
        if not self.head_widths and self.has_output_rows:
            raise ValueError("head_widths=[] needs tied_output=true; give at least one width or tie the output layer")
        if self.padding == "counted" and self.pooling != "mean":
            raise ValueError(f"padding='counted' with pooling={self.pooling!r}; the notebook's models pool by mean")
        if self.padding == "counted" and self.mask != "causal":
            raise ValueError("padding='counted' with mask='full'; the notebook's models are causal")
        if self.padding == "counted" and self.event_times != "none":
            raise ValueError("padding='counted' with event times; the notebook's models have none")
        if self.padding == "counted" and self.places != "newest":
            raise ValueError(f"padding='counted' with places={self.places!r}; the notebook counts slots from the left")
        return self

    @property
    def scores_catalogue(self) -> bool:
        """Whether there is an output layer with a row an item, so that a vector of the user scores all items."""
        return self.task == "next_item"

    @property
    def has_output_rows(self) -> bool:
        """Whether the output layer has weights of its own."""
        return self.scores_catalogue and not self.tied_output

    @property
    def history_once(self) -> bool:
        """Whether no state of the history that a click model reads depends on the candidate, so that keys and values
        are computed once for all candidates: a causal history never sees it, and of one block that is read at the
        candidate nothing is read of the history but its inputs.
        """
        return self.mask == "causal" or (self.num_blocks == 1 and self.pooling == "target")

    @property
    def trains_prefixes(self) -> bool:
        """Whether all prefixes of a history are trained in one pass. A next-item model is always trained so. In a click
        model they need the same states: places from the newest event and times to the request are others in each.
        """
        same_in_prefixes = self.places != "newest" and self.event_times != "to_request"
        return self.scores_catalogue or (self.history_once and same_in_prefixes)

    @property
    def reads_times(self) -> bool:
        return self.event_times != "none"


class BSTConfig(Architecture):
    """The arguments of `BST`. Features are in the order of the model's inputs."""

    num_items: Positive
    context: tuple[ContextFeature, ...] = ()
    event_features: tuple[EventFeature, ...] = ()
    numbers: tuple[Number, ...] = ()
    item_features: tuple[ItemFeature, ...] = ()
    item_numbers: tuple[ItemNumber, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        check_names(tuple(feature.name for feature in self.context))
        require_different("input", tuple(name for group in self.inputs for name in group.names(self)))
        of_items = [*(feature.name for feature in self.item_features), *(number.name for number in self.item_numbers)]
        require_different("item feature", tuple(of_items))
        return self

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.id_dim < 1:
            raise ValueError(
                f"dim={self.dim} has no room for the vector of an item beside {self.num_fields} fields of "
                f"feature_dim={self.feature_dim} and place_dim={self.place_dim}; raise dim, or lower them"
            )
        return self

    @property
    def num_fields(self) -> int:
        """The number of fields of an event besides its item and its place."""
        return len((*self.item_features, *self.item_numbers, *self.event_features)) + self.reads_times

    @property
    def id_dim(self) -> int:
        """Width of the vector of an item's id: what other fields leave of `dim`. It has the first columns."""
        return self.dim - self.num_fields * (self.feature_dim or 0) - (self.place_dim or 0)

    @property
    def has_own_columns(self) -> bool:
        return self.feature_dim is not None or self.place_dim is not None

    def first_column(self, field: int) -> int:
        """Return the first of a field's own columns: item features, item numbers, event features, times, places."""
        return self.id_dim + field * (self.feature_dim or 0)

    @property
    def inputs(self) -> tuple[InputGroup, ...]:
        """The inputs beside the items, in the order in which a signature takes them."""
        return tuple(group for group in INPUT_GROUPS if group.names(self))

    @property
    def user_width(self) -> int:
        """Width of the user vector whose inner product with an output row is a score; 0 in a click model."""
        if not self.scores_catalogue:
            return 0
        return self.dim if self.tied_output else self.head_widths[-1]

    @property
    def head_sizes(self) -> tuple[int, ...]:
        """Widths of the head, from the pooled history with the context beside it to the user vector, or to the logit of
        a candidate, whose vector is then beside it too.
        """
        pooled = self.dim + self.width_beside
        if not self.scores_catalogue:
            return (pooled + self.dim, *self.head_widths, 1)
        return (pooled, *self.head_widths, *([self.dim] * self.tied_output))

    @property
    def width_beside(self) -> int:
        """Width of the context and the numbers, which the head reads beside the history."""
        return sum(feature.dim for feature in self.context) + 2 * len(self.numbers)

    @property
    def encoder_weights(self) -> int:
        """The number of weights that every call reads besides embeddings and output layer: those of cells and head."""
        dim, wide = self.dim, self.ff_width
        norms = 4 * dim if self.norm == "post" else 0
        cell = 4 * dim * dim + 4 * dim * self.attention_biases + 2 * dim * wide + wide + dim + norms
        return self.num_blocks * cell + sum((width + 1) * following for width, following in pairwise(self.head_sizes))

    @property
    def stored_bytes(self) -> int:
        """The bytes of the weights and buffers that a run keeps of a model."""
        items = (self.num_items + 1) * self.id_dim
        categories = sum((feature.num_categories + 1) * feature.dim for feature in self.context)
        events = sum(feature.num_categories + 1 for feature in self.event_features)
        events += NUM_GAPS * self.reads_times
        output = self.num_items + 1 if self.tied_output else self.num_items * (self.user_width + 1)
        output *= self.scores_catalogue
        positions = (self.max_length + 1) * (self.place_dim or self.dim)
        # The values of item features are int32, as wide as a weight.
        field_width = self.feature_dim or self.dim
        width = field_width + self.user_width * self.has_output_rows
        values = (self.num_items + 1) * sum(feature.num_values for feature in self.item_features)
        features = values + width * sum(feature.num_categories + 1 for feature in self.item_features)
        features += (self.num_items + 1 + 2 * width) * len(self.item_numbers)
        beside = categories + events * field_width + features
        floats = items + beside + self.encoder_weights + output + positions
        return FLOAT_BYTES * floats + (self.num_items + 1) * len(self.item_numbers)  # which of them are known

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
