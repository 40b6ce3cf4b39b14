"""The Behaviour Sequence Transformer: a causal encoder over a history, pooled, joined with context, scored.

After Chen et al., "Behavior Sequence Transformer for E-commerce Recommendation in Alibaba" (2019), as the seed
notebook has it: post-norm cells, sinusoidal positions, context embeddings beside the pooled history, an MLP with
LeakyReLU, one score an item.

Shape letters: B batch, L length, D dim, H heads, C context features, E event features, N numbers, U user width, V
items of the catalogue.
"""

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bst.cells import EncoderCell, SelfAttention
from bst.config import NUM_GAPS, BSTConfig
from bst.gaps import Gaps
from bst.item_features import ItemFeatures


class BST(nn.Module):
    """A model that scores every item of the catalogue for each row of a batch.

    Index 0 in `items` is padding, at any position: scores are those of the history without the padded slots, because
    places count real items only, from 0 at the newest (or the oldest). Indices must lie in [0, num_items]; `export`
    guards against others. A row without a real item gets finite scores from its context alone.

    Dropout is active until `.eval()`, as in any module.
    """

    # Logit of a slot that must not be seen. Finite and within float16, so a query that sees nothing is free of NaN;
    # exp(-30000) is 0 in every float type, so beside anything visible it has no weight at all.
    hidden_logit: Final[float] = -30000.0
    # A number is taken for this many standard deviations from its mean at most.
    number_bound: Final[float] = 10.0
    largest_number: Final[float] = float(torch.finfo(torch.float32).max)
    tied_output: Final[bool]
    last_pooling: Final[bool]
    mean_pooling: Final[bool]
    padding_counts: Final[bool]
    has_places: Final[bool]
    from_oldest: Final[bool]
    reads_times: Final[bool]
    num_numbers: Final[int]
    causal: Tensor
    positions: Tensor
    number_means: Tensor
    number_deviations: Tensor

    def __init__(self, config: BSTConfig) -> None:
        super().__init__()
        self.tied_output = config.tied_output
        self.last_pooling = config.pooling == "last"
        self.mean_pooling = config.pooling == "mean"
        self.padding_counts = config.padding == "counted"
        self.has_places = config.places != "none"
        self.from_oldest = config.places == "oldest"
        self.reads_times = config.event_times != "none"
        self.num_numbers = len(config.numbers)
        self.embedding_scale = math.sqrt(config.dim)
        self.id_dropout = config.id_dropout
        self.item_embedding = nn.Embedding(config.num_items + 1, config.dim, padding_idx=0)
        self.item_features: ItemFeatures | None = None
        if config.item_features or config.item_numbers:
            self.item_features = ItemFeatures(config)
        if self.reads_times:
            self.gaps = Gaps(to_next=config.event_times == "to_next")
        rows = [feature.num_categories + 1 for feature in config.event_features]
        rows += [NUM_GAPS] if self.reads_times else []
        self.event_embeddings = nn.ModuleList(nn.Embedding(count, config.dim) for count in rows)
        self.context_embeddings = nn.ModuleList(nn.Embedding(f.num_categories + 1, f.dim) for f in config.context)
        self.dropout = nn.Dropout(config.dropout)
        self.cells = nn.ModuleList(EncoderCell(config) for _ in range(config.num_blocks))
        self.head = _head(config)
        if config.tied_output:
            self.output_bias = nn.Parameter(torch.zeros(config.num_items + 1))
        else:
            self.output = nn.Linear(config.user_width, config.num_items)
        # One slot more than a history can have: torch.export takes a slice that may be the whole buffer for a
        # constant length, and says so only by refusing max_length itself.
        room = config.max_length + 1
        # Not saved with the weights, so real also where a model is built on the meta device to be filled from a file.
        causal = torch.ones(room, room, dtype=torch.bool, device="cpu").tril()
        self.register_buffer("causal", causal, persistent=False)
        for name, values in (
            ("number_means", [number.mean for number in config.numbers]),
            ("number_deviations", [number.deviation for number in config.numbers]),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32, device="cpu"), persistent=False)
        positions = sinusoidal_positions(room, config.dim)
        if config.place_vectors == "learned":
            self.positions = nn.Parameter(positions)
        else:
            self.register_buffer("positions", positions)
        _initialise(self, config.init_method)

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
        vectors = self.user_vectors(items, context, events, event_time, request_time, numbers)
        return F.pad(self.item_scores(vectors), (1, 0), value=-math.inf)

    def user_vectors(
        self,
        items: Tensor,
        context: Tensor,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> Tensor:
        """Encode each row of `items` `[B, L]` with what stands beside it (see `forward`): `[B, user_width]`."""
        real = items > 0
        places = self.places(real)
        states = self._encode(items, real, places, self.event_columns(real, events, event_time, request_time))
        return self.head(self.with_context(self.pool(states, real, places), context, numbers))

    def prefix_vectors(
        self,
        items: Tensor,
        context: Tensor,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
    ) -> Tensor:
        """Encode every prefix of each row in one pass, as training does: a causal state never sees what follows it.

        Args:
            items, events, event_time, request_time: as in `forward`; the request is that of the last prefix. An earlier
                one ends with the event before another, whose time is that of its own request.
            context: int64 `[batch, length, num_context]`, the context of each prefix.
            numbers: float32 `[batch, length, num_numbers]`, those of each prefix.

        Returns:
            float32 `[batch, length, user_width]`; slot t holds the vector of `items[:, : t + 1]`, except that
            positions count from the newest item of the whole row. Undefined where `items` is 0.
        """
        real = items > 0
        columns = self.event_columns(real, events, event_time, request_time)
        states = self._encode(items, real, self.places(real), columns)
        if not self.last_pooling:
            pooled = self._pooled_slots(real).unsqueeze(-1).to(states.dtype)
            states = (states * pooled).cumsum(dim=1)
            if self.mean_pooling:
                states = states / pooled.cumsum(dim=1).clamp(min=1)
        return self.head(self.with_context(states, context, numbers))

    def item_scores(self, user_vectors: Tensor) -> Tensor:
        """Score the catalogue for vectors `[..., user_width]`: float32 `[..., num_items]`, column j is item j + 1."""
        if self.item_features is not None:
            return F.linear(user_vectors, *self.output_layer())
        elif self.tied_output:
            return F.linear(user_vectors, self.item_embedding.weight, self.output_bias)[..., 1:]
        else:
            return self.output(user_vectors)

    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Return the weights `[num_items, user_width]` and biases `[num_items]` of the output layer; row j is item j +
        1.

        For training. Exported, the cut of a tied layer's first row would be a second copy of the weights.
        """
        if self.item_features is not None:
            return self.output_rows(torch.arange(1, self.item_embedding.num_embeddings, device=self.positions.device))
        elif self.tied_output:
            return self.item_embedding.weight[1:], self.output_bias[1:]
        else:
            return self.output.weight, self.output.bias

    def output_layer_parameters(self) -> tuple[Tensor, Tensor]:
        """Return the stored parameters of the output layer, without item features; tied, row 0 is that of padding."""
        if self.tied_output:
            return self.item_embedding.weight, self.output_bias
        return self.output.weight, self.output.bias

    def output_rows(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights `[..., user_width]` and biases `[...]` of the output layer for item indices `[...]`,
        int64 from 1.
        """
        if self.tied_output:
            return self.item_vectors(items), self.output_bias[items]
        else:
            rows = F.embedding(items - 1, self.output.weight)
            if self.item_features is not None:
                rows = self._drop_ids(rows) + self.item_features.output_rows(items)
            return rows, self.output.bias[items - 1]

    def item_vectors(self, items: Tensor) -> Tensor:
        """Vectors of items int64 `[...]`, of their ids and their features: float32 `[..., D]`, 0 for padding."""
        vectors = self.item_embedding(items)
        if self.item_features is not None:
            vectors = self._drop_ids(vectors) + self.item_features(items)
        return vectors

    def _drop_ids(self, vectors: Tensor) -> Tensor:
        """Leave out, in training, whole vectors `[..., any]` of ids by chance, so that features learn to do without."""
        if not self.training:
            return vectors
        kept = torch.rand(vectors.shape[:-1], device=vectors.device) >= self.id_dropout
        return vectors * kept.unsqueeze(-1)

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

    def event_columns(
        self,
        real: Tensor,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
    ) -> Tensor | None:
        """Join what `embed` takes of each event: its categories, and the row of the table of times between events.

        Inputs are as in `forward`, `real` is bool `[B, L]`. Returns int64 `[B, L, any]`, None where there is nothing.
        """
        if self.reads_times:
            if event_time is None or request_time is None:
                raise ValueError("this model reads times: give event_time and request_time, 0 where one is not known")
            gaps = self.gaps(real, event_time, request_time).unsqueeze(-1)
            events = gaps if events is None else torch.cat((events, gaps), dim=-1)
        return events

    def embed(self, items: Tensor, places: Tensor, columns: Tensor | None = None) -> Tensor:
        """Embed items int64 `[...]` at their `places`, int64 of the same shape: float32 `[..., D]`.

        `columns`, int64 `[..., any]`, are those of `event_columns`.
        """
        x = self.item_vectors(items) * self.embedding_scale
        for column, embedding in enumerate(self.event_embeddings):
            if columns is None:
                raise ValueError("this model has event features: give events, 0 where a category is not known")
            x = x + embedding(columns[..., column])
        if self.has_places:
            x = x + F.embedding(places, self.positions)
        return self.dropout(x)

    def hidden(self, real: Tensor, x: Tensor) -> Tensor:
        """Return the mask that is added to the logits of attention, `[B, 1, L, L]` in the type of `x`: nothing where
        the query sees the key, which is real and not later; `real` is bool `[B, L]`.
        """
        length = real.size(1)
        visible = self.causal[:length, :length] & real.unsqueeze(1)  # [B, L, L]
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

    def with_context(self, pooled: Tensor, context: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Put the embedded context, int64 `[..., C]`, and `numbers`, float32 `[..., N]`, beside `pooled` `[..., D]`.

        That is what `head` takes.
        """
        parts = [pooled]
        for column, embedding in enumerate(self.context_embeddings):
            parts.append(embedding(context[..., column]))
        if self.num_numbers > 0:
            if numbers is None:
                raise ValueError("this model reads numbers: give them, NaN where one is not known")
            parts.append(self.scaled(numbers).to(pooled.dtype))
        return torch.cat(parts, dim=-1)

    def scaled(self, numbers: Tensor) -> Tensor:
        """Scale `numbers` `[..., N]` by their mean and deviation, and add a column for each that says whether it is
        unknown: `[..., 2 * N]`. An unknown one is taken for the mean.
        """
        numbers = numbers.to(self.number_means.dtype)
        known = numbers.abs() <= self.largest_number  # false for NaN
        deviations = (torch.where(known, numbers, self.number_means) - self.number_means) / self.number_deviations
        bounded = deviations.clamp(-self.number_bound, self.number_bound)
        return torch.cat((bounded, (~known).to(bounded.dtype)), dim=-1)


def fold_item_features(model: BST, config: BSTConfig) -> tuple[BST, BSTConfig]:
    """Give a model without item features that scores as `model` does, to the bit: they are added to its tables.

    Both share all other weights. A model without item features is given back as it is.
    """
    if model.item_features is None:
        return model, config
    plain_config = config.model_copy(update={"item_features": (), "item_numbers": ()})
    with torch.device("meta"):
        plain = BST(plain_config)
    with torch.no_grad():
        items = torch.arange(config.num_items + 1)
        state = {name: tensor for name, tensor in model.state_dict().items() if name in plain.state_dict()}
        state["item_embedding.weight"] = model.item_vectors(items)
        if not config.tied_output:
            state["output.weight"] = model.output_layer()[0]
    plain.load_state_dict(state, assign=True)
    return plain.eval(), plain_config


def sinusoidal_positions(length: int, dim: int) -> Tensor:
    """Return positions as in Vaswani et al. (2017), section 3.5: sin in the even columns, cos in the odd ones.

    Returns float32 `[length, dim]`; row p is the same whatever `length` is. Computed in float64, so that the table is
    right to the last bit of float32.
    """
    steps = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    rates = torch.pow(10000.0, -torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    table = torch.stack((torch.sin(steps * rates), torch.cos(steps * rates)), dim=-1).flatten(1)
    return table[:, :dim].to(torch.float32)


def _head(config: BSTConfig) -> nn.Sequential:
    width = config.head_sizes[0]
    layers: list[nn.Module] = []
    for next_width in config.head_widths:
        layers += [nn.Linear(width, next_width), nn.LeakyReLU()]
        width = next_width
    if config.tied_output:  # into the space of the item embeddings, where both signs are needed
        layers.append(nn.Linear(width, config.dim))
    return nn.Sequential(*layers)


def _initialise(model: BST, method: str) -> None:
    fill = nn.init.xavier_uniform_ if method == "xavier" else nn.init.kaiming_uniform_
    for module in model.modules():
        if isinstance(module, SelfAttention):
            for part in module.query_key_value.weight.chunk(3):
                fill(part)
        elif isinstance(module, nn.Linear) and module.bias is not None:
            fill(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            # Unit variance after the sqrt(dim) scale, whatever the catalogue's size: an init that shrinks with the
            # number of rows lets the positions drown the items.
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
            # Item 0 is padding and stays zero; category 0 is the unknown one and starts neutral.
            nn.init.zeros_(module.weight[0].data)
    if model.item_features is not None:
        model.item_features.start_at_zero()
    for embedding in model.event_embeddings:  # as `ItemFeatures.start_at_zero`
        assert isinstance(embedding, nn.Embedding)
        nn.init.zeros_(embedding.weight)
    for cell in model.cells:
        assert isinstance(cell, EncoderCell)
        fill(cell.attention.dense.weight)
