"""The Behaviour Sequence Transformer: a causal encoder over a history, pooled, joined with context, scored.

After Chen et al., "Behavior Sequence Transformer for E-commerce Recommendation in Alibaba" (2019), as the seed
notebook has it: post-norm cells, sinusoidal positions, context embeddings beside the pooled history, an MLP with
LeakyReLU, one score an item.

Shape letters: B batch, L length, D dim, H heads, C context features, E event features, N numbers, U user width, V
items of the catalogue.
"""

import math
from typing import Dict, Final, List  # noqa: UP035  the words that TorchScript knows

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bst.config import NUM_GAPS, BSTConfig
from bst.model.activations import ACTIVATIONS
from bst.model.cells import EncoderCell
from bst.model.dropout import Dropout
from bst.model.gaps import Gaps
from bst.model.initialisation import initialise, sinusoidal_positions
from bst.model.item_features import ItemFeatures, placed
from bst.model.items import Items


class BST(Items):
    """A model that scores every item of the catalogue for each row of a batch.

    Index 0 in `items` is padding, at any position: scores are those of the history without the padded slots, because
    places count real items only, from 0 at the newest (or the oldest). Indices must lie in [0, num_items]; `export`
    guards against others. A row without a real item gets finite scores from its context alone.

    Dropout is active until `.eval()`, as in any module.
    """

    # Logit of a slot that must not be seen. Finite and within float16, so a query that sees nothing is free of NaN;
    # exp(-30000) is 0 in every float type, so beside anything visible it has no weight at all.
    hidden_logit: Final[float] = -30000.0
    largest_number: Final[float] = float(torch.finfo(torch.float32).max)
    last_pooling: Final[bool]
    mean_pooling: Final[bool]
    padding_counts: Final[bool]
    has_places: Final[bool]
    full_mask: Final[bool]
    events_beside: Final[bool]
    one_event_field: Final[bool]
    places_beside: Final[bool]
    from_oldest: Final[bool]
    reads_times: Final[bool]
    num_event_features: Final[int]
    num_numbers: Final[int]
    causal: Tensor
    positions: Tensor
    event_rows: Tensor
    number_means: Tensor
    number_deviations: Tensor
    number_bounds: Tensor

    def __init__(self, config: BSTConfig) -> None:
        super().__init__()
        if type(self) is BST and not config.scores_catalogue:
            raise ValueError(f"task={config.task!r} is not of a BST; use make_model(config)")
        self.task = config.task
        self.tied_output = config.tied_output
        self.last_pooling = config.pooling == "last"
        self.mean_pooling = config.pooling == "mean"
        self.padding_counts = config.padding == "counted"
        self.has_places = config.places != "none"
        self.full_mask = config.mask == "full"
        self.own_columns = config.has_own_columns
        self.events_beside = config.feature_dim is not None
        self.places_beside = config.place_dim is not None
        self.dim = config.dim
        self.from_oldest = config.places == "oldest"
        self.reads_times = config.reads_times
        self.num_event_features, self.num_numbers = len(config.event_features), len(config.numbers)
        self.embedding_scale = math.sqrt(config.dim)
        self.id_dropout = config.id_dropout
        self.item_embedding = nn.Embedding(config.item_rows, config.id_dim, padding_idx=0)
        self.item_features = None
        if config.item_features or config.item_numbers:
            self.item_features = ItemFeatures(config)
        if self.reads_times:
            self.gaps = Gaps(to_next=config.event_times == "to_next")
        rows = [*(feature.num_categories + 1 for feature in config.event_features), *([NUM_GAPS] * self.reads_times)]
        self.one_event_field = len(rows) == 1
        # One table for all of them, one after another: a lookup instead of several, which count in a small call.
        self.event_embedding = nn.Embedding(sum(rows), config.feature_dim or config.dim) if rows else None
        firsts = [sum(rows[:field]) for field in range(len(rows))]
        self.register_buffer("event_rows", torch.tensor(firsts, dtype=torch.int64, device="cpu"), persistent=False)
        # Where those begin that have columns of their own, and where places do.
        self.events_at = config.first_column(config.num_fields - len(rows))
        self.places_at = config.first_column(config.num_fields)
        self.context_embeddings = nn.ModuleList(nn.Embedding(f.num_categories + 1, f.dim) for f in config.context)
        self.dropout = Dropout(config.dropout)
        self.cells = nn.ModuleList(EncoderCell(config) for _ in range(config.num_blocks))
        self.head = _head(config)
        if config.tied_output:
            self.output_bias = nn.Parameter(torch.zeros(config.num_items + 1))
        elif config.scores_catalogue:
            self.output = nn.Linear(config.user_width, config.num_items)
        # One slot more than a history can have: torch.export takes a slice that may be the whole buffer for a
        # constant length, and says so only by refusing max_length itself.
        room = config.max_length + 1
        # Not saved with the weights, so real also where a model is built on the meta device to be filled from a file.
        causal = torch.ones(room, room, dtype=torch.bool, device="cpu").tril_()
        self.register_buffer("causal", causal, persistent=False)
        for fact in ("mean", "deviation", "bound"):
            values = torch.tensor(
                [getattr(number, fact) for number in config.numbers], dtype=torch.float32, device="cpu"
            )
            self.register_buffer(f"number_{fact}s", values, persistent=False)
        positions = sinusoidal_positions(room, config.place_dim or config.dim)
        if config.learns_places:
            self.positions = nn.Parameter(positions)
        else:
            self.register_buffer("positions", positions)
        initialise(self, config)

    def forward(
        self,
        items: Tensor,
        context: Tensor,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> Tensor:
        """Score the catalogue.

        Args:
            items: int64 `[batch, length]`, oldest first, 0 is padding; length from 1 to `max_length`.
            context: int64 `[batch, num_context]`, columns in the order of `config.context`, 0 is unknown.
            events: int64 `[batch, length, num_event_features]`, likewise, of each event.
            event_time: int64 `[batch, length]`, seconds since 1970; 0 and less are unknown.
            request_time: int64 `[batch]`, likewise.
            numbers: float32 `[batch, num_numbers]`; what is not finite is unknown.

        The last four are for models that have such inputs.

        Returns:
            float32 `[batch, num_items + 1]`, the logits of a softmax over items; column 0 (padding) is -inf.
        """
        inputs = by_name(items, context, events, event_time, request_time, numbers)
        return F.pad(self.item_scores(self.user_vectors(inputs)), (1, 0), value=-math.inf)

    def user_vectors(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        """Encode each row: float32 `[B, user_width]`. `inputs` are the arguments of `forward` by name."""
        items = inputs["items"]
        real = items > 0
        places = self.places(real)
        states = self._encode(items, real, places, self.event_columns(real, inputs))
        return self.head(self.beside(self.pool(states, real, places), inputs))

    def prefix_vectors(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        """Encode every prefix of each row in one pass, as training does: a causal state never sees what follows it.

        Args:
            inputs: as in `user_vectors`, but for `context`, int64 `[batch, length, num_context]`, and `numbers`,
                float32 `[batch, length, num_numbers]`, which are those of each prefix. The request is that of the last
                prefix; an earlier one ends with the event before another, whose time is that of its own request.

        Returns:
            float32 `[batch, length, user_width]`; slot t holds the vector of `items[:, : t + 1]`, except that
            positions count from the newest item of the whole row. Undefined where `items` is 0.
        """
        items = inputs["items"]
        real = items > 0
        states = self._encode(items, real, self.places(real), self.event_columns(real, inputs))
        if not self.last_pooling:
            pooled = self._pooled_slots(real).unsqueeze(-1).to(states.dtype)
            states = (states * pooled).cumsum(dim=1)
            if self.mean_pooling:
                states = states / pooled.cumsum(dim=1).clamp(min=1)
        return self.head(self.beside(states, inputs))

    def places(self, real: Tensor) -> Tensor:
        """Return the row of the position table for each slot: the number of real items after it, int64 `[B, L]`, 0
        at the newest.
        """
        if self.padding_counts:
            return torch.ones_like(real).cumsum(dim=1) - 1  # slots from the left, as the notebook has it
        if self.from_oldest:
            return (real.to(torch.int64).cumsum(dim=1) - 1).clamp(min=0)
        return self._later(real)

    def _later(self, real: Tensor) -> Tensor:
        counted = real.to(torch.int64)  # torch's older ONNX exporter writes a sum of bools that no runtime takes
        return counted.sum(dim=1, keepdim=True) - counted.cumsum(dim=1)

    def _pooled_slots(self, real: Tensor) -> Tensor:
        return torch.ones_like(real) if self.padding_counts else real

    def _encode(self, items: Tensor, real: Tensor, places: Tensor, columns: Tensor | None) -> Tensor:
        x = self.embed(items, places, columns)
        hidden = self.hidden(real, x)
        for cell in self.cells:
            x = cell(x, hidden)
        return x

    def event_columns(self, real: Tensor, inputs: Dict[str, Tensor]) -> Tensor | None:  # noqa: UP006
        """Join the rows of `event_embedding` that `embed` takes of each event: of its categories, and of its time.

        `real` is bool `[B, L]`, `inputs` are those of `user_vectors`. Returns int64 `[B, L, any]`, None where there is
        nothing.
        """
        columns: List[Tensor] = []  # noqa: UP006
        if self.num_event_features > 0:
            columns.append(self._input("events", inputs))
        if self.reads_times:
            times = self._input("event_time", inputs), self._input("request_time", inputs)
            gaps = self.gaps(real, self._later(real), times[0], times[1])
            columns.append(gaps.unsqueeze(-1))
        return torch.cat(columns, dim=-1) + self.event_rows if columns else None

    def _input(self, name: str, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        if name not in inputs:
            raise ValueError(f"this model reads {name}: give it, with 0 (of numbers NaN) where a value is not known")
        return inputs[name]

    def embed(self, items: Tensor, places: Tensor, columns: Tensor | None = None) -> Tensor:
        """Embed items int64 `[...]` at their `places`, int64 of the same shape: float32 `[..., D]`.

        `columns`, int64 `[..., any]`, are those of `event_columns`.
        """
        return self.dropout(self.placed_in_history(self.item_vectors(items) * self.embedding_scale, places, columns))

    def placed_in_history(self, x: Tensor, places: Tensor, columns: Tensor | None) -> Tensor:
        """Add to vectors of items `[..., D]` what is known of their events, and their places; see `embed`."""
        if self.event_embedding is not None and columns is not None:
            rows = self.event_embedding(columns)  # [..., any, width]
            if self.events_beside:  # TorchScript compiles only the branch that the constant chooses
                x = x + placed(rows.flatten(-2), self.events_at, self.dim)
            elif self.one_event_field:  # a sum of one costs as much as a product of matrices in a small call
                x = x + rows.flatten(-2)
            else:
                x = x + rows.sum(dim=-2)
        if self.has_places:
            rows = F.embedding(places, self.positions)
            if self.places_beside:
                rows = placed(rows, self.places_at, self.dim)
            x = x + rows
        return x

    def hidden(self, real: Tensor, x: Tensor, causal: bool = False) -> Tensor:
        """Return the mask that is added to the logits of attention, `[B, 1, L, L]` in the type of `x`: nothing where
        the query sees the key, which is real and not later; `real` is bool `[B, L]`. `causal` asks for that mask
        whatever the model's is.
        """
        length = real.size(1)
        if self.full_mask and not causal:
            visible = real.unsqueeze(1).expand(-1, length, -1)  # [B, L, L]
        else:
            visible = self.causal[:length, :length] & real.unsqueeze(1)
        return (~visible).to(x.dtype).unsqueeze(1) * self.hidden_logit

    def pool(self, states: Tensor, real: Tensor, places: Tensor) -> Tensor:
        """Pool states `[B, L, D]` of the slots that are `real`: their mean or the newest, zeros where there is none."""
        if not self.last_pooling:
            weights = self._pooled_slots(real).to(states.dtype)
            if self.mean_pooling:
                weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
        else:
            later = self._later(real) if self.from_oldest else places
            weights = (real & (later == 0)).to(states.dtype)
        return (weights.unsqueeze(1) @ states).squeeze(1)

    def beside(self, pooled: Tensor, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        """Put the embedded context, int64 `[..., C]`, and the numbers, float32 `[..., N]`, beside `pooled` `[..., D]`.

        That is what `head` takes.
        """
        return torch.cat([pooled] + self.parts_beside(inputs, pooled), dim=-1)  # noqa: RUF005  TorchScript

    def parts_beside(self, inputs: Dict[str, Tensor], like: Tensor) -> List[Tensor]:  # noqa: UP006
        """Return what stands beside the history: the embedded context, and the numbers in the type of `like`."""
        parts: List[Tensor] = []  # noqa: UP006
        for column, embedding in enumerate(self.context_embeddings):
            parts.append(embedding(inputs["context"][..., column]))
        if self.num_numbers > 0:
            parts.append(self.scaled(self._input("numbers", inputs)).to(like.dtype))
        return parts

    def scaled(self, numbers: Tensor) -> Tensor:
        """Scale `numbers` `[..., N]` by their mean and deviation, and add a column for each that says whether it is
        unknown: `[..., 2 * N]`. An unknown one is taken for the mean.
        """
        numbers = numbers.to(self.number_means.dtype)
        finite = numbers.abs() <= self.largest_number  # false for NaN
        deviations = (torch.where(finite, numbers, self.number_means) - self.number_means) / self.number_deviations
        bounded = deviations.clamp(-self.number_bounds, self.number_bounds)
        return torch.cat((bounded, (~finite).to(bounded.dtype)), dim=-1)


def _head(config: BSTConfig) -> nn.Sequential:
    width = config.head_sizes[0]
    layers: list[nn.Module] = []
    names = config.head_activations * (len(config.head_widths) if len(config.head_activations) == 1 else 1)
    for next_width, name in zip(config.head_widths, names, strict=True):
        layers += [nn.Linear(width, next_width), ACTIVATIONS[name](next_width)]
        width = next_width
    if config.tied_output:  # into the space of the item embeddings, where both signs are needed
        layers.append(nn.Linear(width, config.dim))
    elif not config.scores_catalogue:
        layers.append(nn.Linear(width, 1))
    return nn.Sequential(*layers)


def by_name(
    items: Tensor,
    context: Tensor,
    events: Tensor | None,
    event_time: Tensor | None,
    request_time: Tensor | None,
    numbers: Tensor | None,
) -> Dict[str, Tensor]:  # noqa: UP006
    """Name the arguments of `BST.forward`; None are left out."""
    inputs = {"items": items, "context": context}
    if events is not None:
        inputs["events"] = events
    if event_time is not None:
        inputs["event_time"] = event_time
    if request_time is not None:
        inputs["request_time"] = request_time
    if numbers is not None:
        inputs["numbers"] = numbers
    return inputs
