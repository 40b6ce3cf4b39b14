"""The configuration of a model: the sizes that a user chooses, those of the data, and those of imported models."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

from pydantic import model_validator

from bst.config.architecture import DROPOUT, Architecture
from bst.config.inputs import INPUT_GROUPS, CandidateFeature, ContextFeature, EventFeature, InputGroup, Number
from bst.config.sequences import ItemSequence
from bst.config.values import Above0, Finite, Fraction, Frozen, Positive, check_names, require_different
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


# `dice` is that of FuxiCTR, per unit; `row_dice` that of torch-rechub, which looks along the row.
HeadActivation = Literal["relu", "leaky_relu", "gelu", "sigmoid", "tanh", "softmax", "prelu", "dice", "row_dice"]


class BSTConfig(Architecture):
    """The arguments of `BST`. Features are in the order of the model's inputs.

    The last settings are those of click models that other libraries trained (`bst.imports`).

    Attributes:
        dropout, id_dropout: as `Architecture.fitted` chose them.
        candidate_features: of each candidate, one for each event feature: at a candidate it stands in its place.
        candidate_vectors: `shared` takes the vectors of items in histories for candidates too; `own` has a table of
            candidates beside.
        unknown_items: an item that the model does not know is `absent`, or has a `row` of its own, the last one: in a
            history it keeps its place, and as a candidate it has a probability.
        longer_histories: of a history of more than `max_length` events the `newest` are read, or the `oldest`.
        head_activations: one for all layers of the head but the last, or one for each of them.
        sequences: the others than the history. The head reads the state and the candidate of each.
    """

    num_items: Positive
    dropout: Fraction = DROPOUT
    id_dropout: Fraction = 0.02
    context: tuple[ContextFeature, ...] = ()
    event_features: tuple[EventFeature, ...] = ()
    numbers: tuple[Number, ...] = ()
    item_features: tuple[ItemFeature, ...] = ()
    item_numbers: tuple[ItemNumber, ...] = ()
    candidate_features: tuple[CandidateFeature, ...] = ()
    candidate_vectors: Literal["shared", "own"] = "shared"
    unknown_items: Literal["absent", "row"] = "absent"
    longer_histories: Literal["newest", "oldest"] = "newest"
    head_activations: tuple[HeadActivation, ...] = ("leaky_relu",)
    sequences: tuple[ItemSequence, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        check_names(tuple(feature.name for feature in self.context))
        require_different(
            "input", tuple(name for group in (*INPUT_GROUPS, *self.sequence_groups) for name in group.names(self))
        )
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

    @model_validator(mode="after")
    def _imported_settings_fit(self) -> Self:
        if self.scores_catalogue:
            for name in ("candidate_features", "candidate_vectors", "unknown_items", "longer_histories", "sequences"):
                if (value := getattr(self, name)) != BSTConfig.model_fields[name].default:
                    raise ValueError(f"{name}={value!r} with task='next_item'; only click models have it")
        if self.candidate_features and len(self.candidate_features) != len(self.event_features):
            raise ValueError(
                f"{len(self.candidate_features)} candidate features for {len(self.event_features)} event features; "
                "give one for each, or none"
            )
        is_folded = not (self.item_features or self.item_numbers or self.has_own_columns)
        imported = self.candidate_features or self.candidate_vectors == "own" or self.unknown_items == "row"
        if (imported or self.sequences) and not is_folded:
            raise ValueError(
                "candidate_features, candidate_vectors='own', unknown_items='row' or sequences with item features or "
                "columns of their own; fold those into the tables"
            )
        for sequence in self.sequences:
            if sequence.dim % self.num_heads:
                raise ValueError(
                    f"dim={sequence.dim} of sequence {sequence.name!r} does not divide into num_heads={self.num_heads}"
                )
        if len(self.head_activations) not in (1, len(self.head_widths)):
            raise ValueError(
                f"{len(self.head_activations)} head_activations for {len(self.head_widths)} layers; give 1 or as many"
            )
        return self

    @property
    def unknown_row(self) -> int:
        """The row of unknown items in a table of items: that of padding where they have none of their own."""
        return self.num_items + 1 if self.unknown_items == "row" else 0

    @property
    def item_rows(self) -> int:
        """The number of rows of a table of items."""
        return max(self.num_items, self.unknown_row) + 1

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
        """The inputs of a user beside the items, in the order in which a signature takes them."""
        groups = (group for group in INPUT_GROUPS if group.names(self) and not group.per_candidate)
        return (*groups, *self.sequence_groups)

    @property
    def sequence_groups(self) -> tuple[InputGroup, ...]:
        """The inputs that are sequences of items beside the history."""
        return tuple(sequence.group for sequence in self.sequences)

    def length_of(self, group: InputGroup) -> int:
        """Return the number of events that are read of an input a slot."""
        return next((own.max_length for own in self.sequences if own.name == group.name), self.max_length)

    @property
    def encoder_configs(self) -> tuple[BSTConfig, ...]:
        """The configs of the encoders of `sequences`: of click models that read nothing else."""
        nothing_else = {"context": (), "event_features": (), "event_times": "none", "numbers": ()}
        plain = self.model_copy(update={**nothing_else, "candidate_features": (), "sequences": ()})
        return tuple(
            plain.model_copy(update={name: value for name, value in sequence if name != "name"})
            for sequence in self.sequences
        )

    @property
    def candidate_inputs(self) -> tuple[InputGroup, ...]:
        """The inputs of candidates beside their items; a signature takes them behind the candidates."""
        return tuple(group for group in INPUT_GROUPS if group.names(self) and group.per_candidate)

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
        # Of the head, another sequence has its part of the first layer.
        others = sum(other.cell_weights + _layer_weights(other.head_sizes[:2]) for other in self.encoder_configs)
        return self.cell_weights + _layer_weights(self.head_sizes) + others

    @property
    def cell_weights(self) -> int:
        """The number of weights of the cells that read the history."""
        dim, wide = self.dim, self.ff_width
        norms = 4 * dim if self.norm == "post" else 0
        cell = 4 * dim * dim + 4 * dim * self.attention_biases + 2 * dim * wide + wide + dim + norms
        return self.num_blocks * cell

    @property
    def table_weights(self) -> int:
        """The number of weights in the vectors of items and of places in the history."""
        items = self.item_rows * self.id_dim * (2 if self.candidate_vectors == "own" else 1)
        return items + (self.max_length + 1) * (self.place_dim or self.dim)

    @property
    def stored_bytes(self) -> int:
        """The bytes of the weights and buffers that a run keeps of a model."""
        tables = self.table_weights + sum(other.table_weights for other in self.encoder_configs)
        categories = sum((feature.num_categories + 1) * feature.dim for feature in self.context)
        events = sum(feature.num_categories + 1 for feature in self.event_features)
        events += sum(feature.num_categories + 1 for feature in self.candidate_features)
        events += NUM_GAPS * self.reads_times
        output = self.num_items + 1 if self.tied_output else self.num_items * (self.user_width + 1)
        output *= self.scores_catalogue
        # The values of item features are int32, as wide as a weight.
        field_width = self.feature_dim or self.dim
        width = field_width + self.user_width * self.has_output_rows
        values = (self.num_items + 1) * sum(feature.num_values for feature in self.item_features)
        features = values + width * sum(feature.num_categories + 1 for feature in self.item_features)
        features += (self.num_items + 1 + 2 * width) * len(self.item_numbers)
        beside = categories + events * field_width + features
        floats = tables + beside + self.encoder_weights + output
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


def _layer_weights(sizes: tuple[int, ...]) -> int:
    """Count the weights of layers one upon the other, from the width that they read on."""
    return sum((width + 1) * following for width, following in pairwise(sizes))
