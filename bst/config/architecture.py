"""The sizes of a model that a user chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from bst.config.values import SPARSE_EVENTS, Above0, Fraction, Positive, Table

DROPOUT = 0.3
# What models of a task have where nothing else is said.
TASK_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "next_item": {},
    "click": {"pooling": "target", "tied_output": False, "place_vectors": "sinusoidal"},
}
# What an output layer of its own, and the logit of a click model, have below them where nothing else is said.
OWN_OUTPUT_HEAD = (256,)


def defaults_beside(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that other `values` decide where they are not given themselves."""
    defaults = dict(TASK_DEFAULTS.get(str(values.get("task")), {}))
    if not {**defaults, **values}.get("tied_output", True):
        defaults["head_widths"] = OWN_OUTPUT_HEAD
    return defaults


class Architecture(Table):
    """The sizes of a model that a user chooses.

    Those that the data gives are added by `BSTConfig`.
    """

    task: Literal["next_item", "click"] = "next_item"
    """`next_item` scores the whole catalogue by a softmax; `click` puts a candidate behind the history, as one more
    slot of it, and gives the logit of its probability. Where a click model
    does not say otherwise, it pools by target, and has no tied output and sinusoidal places."""
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
    head_widths: tuple[Positive, ...] = ()
    """Widths of the layers between the pooled history and the output layer. Without any, a tied output is read through
    one matrix that starts as the identity. Where the output is not tied, it is (256,) if nothing else is said."""
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
    place_vectors: Literal["sinusoidal", "learned"] = "learned"
    """The vectors of places stay sinusoids, or are learned, from small random ones on."""
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
    dropout: Annotated[Fraction | None, Field(examples=[0.3])] = None
    """Share of the activations that training leaves out at random. If it is not given, 0.4 in a next-item model where
    there are fewer than 30 training events an item, and otherwise 0.3."""
    id_dropout: Annotated[Fraction | None, Field(examples=[0.1])] = None
    """Share of the items whose own vector training leaves out at random, so that their features learn to stand for
    them; used where there are item features. If it is not given, 0.1 where there are fewer than 30 training events an
    item, and otherwise 0.02."""
    init_method: Literal["xavier", "kaiming"] = "xavier"
    """The random initialisation of matrices."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_task(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {**defaults_beside(values), **values}

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
    def reads_states(self) -> bool:
        """Whether items are scored by their vectors, with one matrix and nothing else in between."""
        return self.tied_output and not self.head_widths

    @property
    def learns_places(self) -> bool:
        """Whether the vectors of places are trained."""
        return self.place_vectors == "learned" and self.places != "none"

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

    def fitted(self, num_items: int, num_events: int) -> tuple[Self, Mapping[str, str]]:
        """Choose what is left open for so many items and training events.

        Returns:
            the settings with `dropout` and `id_dropout`, and of each a line that says what was chosen, and why.
        """
        is_sparse = num_events < SPARSE_EVENTS * num_items
        than = f"fewer than {SPARSE_EVENTS}" if is_sparse else f"{SPARSE_EVENTS} or more"
        reason = f"{num_events / num_items:,.1f} training events an item are {than}"
        shares = {
            "dropout": 0.4 if is_sparse and self.scores_catalogue else DROPOUT,
            "id_dropout": 0.1 if is_sparse else 0.02,
        }
        reasons = dict.fromkeys(shares, reason)
        for name in shares:
            if (share := getattr(self, name)) is not None:
                shares[name], reasons[name] = share, "as set"
        lines = {
            "dropout": "of the activations of a step are left out at random",
            "id_dropout": "of the items that a step reads are known by their features alone",
        }
        return self.model_copy(update=shares), {
            name: f"{100 * shares[name]:g} % {line} ({reasons[name]})" for name, line in lines.items()
        }

    @property
    def reads_times(self) -> bool:
        return self.event_times != "none"
