"""The click model: a candidate as one more slot behind the history, and the logit of its probability.

After Chen et al. (2019), whose model reads the state of the candidate inside the sequence, joined with other features,
by an MLP. The head reads the pooled states, the vector of the candidate, the context and the numbers.

**The history once.** A candidate is the last slot, and sees everything. Where no state of the history that is read
depends on it (`BSTConfig.history_once`), keys and values of the history are computed once a user, and each candidate is
one row a block. In the other models, each candidate is a sequence of its own.

**Several sequences.** Each besides the history (`BSTConfig.sequences`) is read by a click model of its own, in which
the same candidates stand behind it. Its head is one layer, which adds to the first layer of this one's.

Shape letters: B batch, L length, N candidates of a row, D dim, H heads, U width beside the history.
"""

import copy
from typing import Dict, List, Tuple  # noqa: UP035  the words that TorchScript knows

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bst.config import BSTConfig
from bst.model.items import Items
from bst.model.network import BST, by_name

NO_GAP = 1  # the row of the table of times for 0 seconds, which is what a candidate is from its request


class ClickBST(BST):
    """A model that gives a logit for each candidate of each row of a batch."""

    # By name, not as annotations: TorchScript reads those of the last class alone, and those of `BST` would be lost.
    __constants__ = (
        *Items.__constants__,
        "history_once",
        "target_pooling",
        "width_beside",
        "has_own_table",
        "reads_target_alone",
    )

    def __init__(self, config: BSTConfig) -> None:
        super().__init__(config)
        self.history_once = config.history_once
        self.target_pooling = config.pooling == "target"
        self.reads_target_alone = self.target_pooling  # of the last block, where each candidate has its own sequence
        self.trains_prefixes = config.trains_prefixes
        self.width_beside = config.width_beside
        self.keeps_oldest = config.longer_histories == "oldest"
        self.unknown_row = config.unknown_row
        self.has_own_table = config.candidate_vectors == "own"
        if self.has_own_table:
            self.candidate_embedding = nn.Embedding(config.item_rows, config.dim, padding_idx=0)
        # One table for all of them, as `event_embedding`.
        rows = [feature.num_categories + 1 for feature in config.candidate_features]
        self.candidate_feature_embedding = nn.Embedding(sum(rows), config.dim) if rows else None
        # What `placed_in_history` takes of a candidate: the place behind all others, and nothing known of its event,
        # but that it is at the time of its request. Features of candidates stand in the place of those of events.
        unknown = self.event_rows.tolist()[: len(config.event_features)] if not rows else []
        columns = unknown + [row + NO_GAP for row in self.event_rows.tolist()[len(config.event_features) :]]
        self.target_has_columns = bool(columns)
        for name, values in (
            ("target_place", [config.max_length]),
            ("target_columns", [columns]),
            ("candidate_rows", [sum(rows[:field]) for field in range(len(rows))]),
        ):
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64, device="cpu"), persistent=False)
        self.sequence_names = [sequence.name for sequence in config.sequences]
        self.sequences = nn.ModuleList(_reader(encoder) for encoder in config.encoder_configs)

    def forward(  # type: ignore[override]
        self,
        items: Tensor,
        context: Tensor,
        candidates: Tensor,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
        sequences: Dict[str, Tensor] | None = None,  # noqa: UP006
    ) -> Tensor:
        """Score candidates: float32 `[batch, n]`, the logits of their probabilities.

        Args:
            candidates: int64 `[batch, n]`, item indices from 1; 0 gives the logit of an item without a vector. Of a
                model with features of candidates `[batch, n, 1 + num_candidate_features]`, the item before them.
            sequences: the others than the history by their names, int64 `[batch, any]`, as `items`.

        The others are those of `BST.forward`.
        """
        if self.candidate_feature_embedding is not None and candidates.dim() != 3:
            raise ValueError("this model reads features of candidates: give them behind the items, [batch, n, 1 + any]")
        inputs = by_name(items, context, events, event_time, request_time, numbers)
        if sequences is not None:
            for name, others in sequences.items():
                inputs[name] = others
        return self.candidate_logits(self.encode_user(inputs), candidates)

    def encode_user(self, inputs: Dict[str, Tensor]) -> List[Tensor]:  # noqa: UP006
        """Compute what does not depend on a candidate, once; `inputs` are those of `BST.user_vectors`.

        Returns what `candidate_logits` takes. Where the history is computed once: the mask of attention `[B, 1, 1, L]`,
        what the head adds for the user `[B, head_widths[0]]`, the sum of the states of the history `[B, D]` and their
        number `[B, 1]`, and then keys and values of each block, `[B, H, L, D/H]`. Otherwise: the embedded history `[B,
        L, D]`, its mask `[B, L]`, and the second of those above. Then the same of each other sequence.
        """
        user = self._encode_history(inputs)
        for place, reader in enumerate(self.sequences):
            own = {"items": self._input(self.sequence_names[place], inputs), "context": inputs["context"][:, :0]}
            user = user + reader.encode_user(own)  # type: ignore[operator]
        return user

    def _encode_history(self, inputs: Dict[str, Tensor]) -> List[Tensor]:  # noqa: UP006
        items = inputs["items"]
        real = items > 0
        x = self.embed(items, self.places(real), self.event_columns(real, inputs))
        for_head = self._for_head(inputs, x)
        if not self.history_once:
            return [x, real, for_head]
        return self._read_by_candidates(x, real, for_head)

    def candidate_logits(self, user: List[Tensor], candidates: Tensor) -> Tensor:  # noqa: UP006
        """Give the logits of candidates, of the users that `encode_user` gave: float32 `[B, N]`.

        `candidates` are int64 `[B, N]`, or `[B, N, 1 + any]` with features, as in `forward`.
        """
        x = self.first_layer(user, candidates)
        size = len(user) // (1 + len(self.sequences))
        items = candidates if self.candidate_feature_embedding is None else candidates[..., 0]
        for place, reader in enumerate(self.sequences):
            x = x + reader.first_layer(user[size * (place + 1) :], items)  # type: ignore[operator]
        return self._behind_first_layer(x)

    def first_layer(self, user: List[Tensor], candidates: Tensor) -> Tensor:  # noqa: UP006
        """Give what the first layer of the head makes of the history and the candidates: `[B, N, head_widths[0]]`.

        `user` begins with what `encode_user` gives of the history.
        """
        targets = self.candidate_vectors(candidates)
        x = self.dropout(self.placed_target(targets))
        if not self.history_once:
            return self._joined(self._tiled(x, user[0], user[1]), targets, user[2])
        for block, cell in enumerate(self.cells):
            x = cell.read(x, user[4 + 2 * block], user[5 + 2 * block], user[0])  # type: ignore[operator]
        return self._joined(self.pooled(x, user[2], user[3]), targets, user[1])

    def candidate_vectors(self, candidates: Tensor) -> Tensor:
        """Embed candidates int64 `[...]`, or `[..., 1 + any]` with features: float32 `[..., D]`, without a place."""
        if self.candidate_feature_embedding is not None:
            first_rows: Tensor = self.candidate_rows  # type: ignore[assignment]
            features = self.candidate_feature_embedding(candidates[..., 1:] + first_rows).sum(dim=-2)
            return self._vectors_of(candidates[..., 0]) + features
        else:  # TorchScript compiles only the branch that the constant chooses
            return self._vectors_of(candidates)

    def _vectors_of(self, items: Tensor) -> Tensor:
        if self.has_own_table:
            return self.candidate_embedding(items) * self.embedding_scale
        else:
            return self.item_vectors(items) * self.embedding_scale

    def tiled(self) -> "ClickBST":
        """Return a model of the same weights that makes a whole sequence for each candidate, as the definition has it,
        and computes states that nothing reads.
        """
        plain = copy.copy(self)
        plain.history_once = plain.reads_target_alone = False
        readers = nn.ModuleList(reader.tiled() for reader in self.sequences if isinstance(reader, ClickBST))
        plain._modules = {**self._modules, "sequences": readers}
        return plain

    def prefix_logits(self, inputs: Dict[str, Tensor], candidates: Tensor, predicts: Tensor) -> Tensor:  # noqa: UP006
        """Give the logits of the candidates of prefixes of each row, as training does.

        Args:
            inputs: those of `BST.prefix_vectors`, `items` without padding between events.
            candidates: int64 `[batch, length, n]`, those of each prefix.
            predicts: bool `[batch, length]`, the slots that end a prefix to be scored; their items are real.

        Returns:
            float32 `[number of prefixes, n]`, in the order of `items[predicts]`. They are those of `forward` of each
            prefix alone: in one pass where every prefix reads the same states, otherwise with a row for each.
        """
        if len(self.sequences) > 0:
            raise ValueError("a model of several sequences is not trained here: its rows are no prefixes of a history")
        items = inputs["items"]
        real = items > 0
        if not self.trains_prefixes:
            return self.forward(candidates=candidates[predicts], **_rows(inputs, predicts))  # type: ignore[arg-type]
        x = self.embed(items, self.places(real), self.event_columns(real, inputs))
        hidden = self.hidden(real, x, causal=True)  # [B, 1, L, L]
        for_head = self._for_head(inputs, x)  # [B, L, any]
        number = candidates.size(2)
        targets = self.candidate_vectors(candidates)  # [B, L, N, D]
        rows = self.dropout(self.placed_target(targets)).flatten(1, 2)  # [B, L * N, D]
        hidden_of_rows = hidden.repeat_interleave(number, dim=2)
        for block, cell in enumerate(self.cells):
            keys, values = cell.keys_and_values(x)  # type: ignore[operator]
            rows = cell.read(rows, keys, values, hidden_of_rows)  # type: ignore[operator]
            if block + 1 < len(self.cells) or not self.target_pooling:
                x = cell(x, hidden)
        counted = real.unsqueeze(-1).to(x.dtype)
        sums, counts = (x * counted).cumsum(dim=1), counted.cumsum(dim=1)
        states = self.pooled(rows.unflatten(1, (-1, number)), sums, counts)
        return self.logits(states, targets, for_head)[predicts]

    def placed_target(self, targets: Tensor) -> Tensor:
        """Put candidates, vectors `[..., D]`, behind the history: at a place of their own, at the time of the request,
        with nothing known of their events.
        """
        nothing = targets.new_zeros((1, self.dim))
        place: Tensor = self.target_place  # type: ignore[assignment]
        columns: Tensor = self.target_columns  # type: ignore[assignment]
        return targets + self.placed_in_history(nothing, place, columns if self.target_has_columns else None)

    def pooled(self, states: Tensor, sums: Tensor, counts: Tensor) -> Tensor:
        """Pool states of candidates `[..., N, D]` with the sums `[..., D]` and numbers `[..., 1]` of the history's."""
        if self.target_pooling:
            return states
        pooled = states + sums.unsqueeze(-2)
        if self.mean_pooling:
            pooled = pooled / (counts + 1).unsqueeze(-2)
        return pooled

    def logits(self, states: Tensor, targets: Tensor, for_head: Tensor) -> Tensor:
        """Apply the head to states and candidates `[..., N, D]`, and what `encode_user` has for it: `[..., N]`."""
        return self._behind_first_layer(self._joined(states, targets, for_head))

    def _joined(self, states: Tensor, targets: Tensor, for_head: Tensor) -> Tensor:
        weight, _ = self._first_layer()
        x = F.linear(states, weight[:, : self.dim]) + F.linear(targets, weight[:, self.dim : 2 * self.dim])
        return x + for_head.unsqueeze(-2)

    def _behind_first_layer(self, x: Tensor) -> Tensor:
        for place, layer in enumerate(self.head):
            if place > 0:
                x = layer(x)
        return x.squeeze(-1)

    def _for_head(self, inputs: Dict[str, Tensor], like: Tensor) -> Tensor:  # noqa: UP006
        """Compute what the first layer of the head adds for the user alone: its bias, with context and numbers."""
        weight, bias = self._first_layer()
        if self.width_beside > 0:
            return F.linear(torch.cat(self.parts_beside(inputs, like), dim=-1), weight[:, 2 * self.dim :], bias)
        # Not from the context, which has no columns here: ONNX Runtime 1.30 takes the sum of none for nothing.
        rows = like[:, 0] if inputs["context"].dim() == 2 else like
        return torch.zeros_like(rows[..., :1]) + bias

    def _first_layer(self) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        """Return weight and bias of the first layer of the head."""
        return self.head[0].weight, self.head[0].bias  # type: ignore[return-value]

    def _read_by_candidates(self, x: Tensor, real: Tensor, for_head: Tensor) -> List[Tensor]:  # noqa: UP006
        hidden = (~real).to(x.dtype).unsqueeze(1).unsqueeze(1) * self.hidden_logit
        counted = real.unsqueeze(-1).to(x.dtype)
        read: List[Tensor] = []  # noqa: UP006
        own_hidden = self.hidden(real, x)
        for block, cell in enumerate(self.cells):
            keys, values = cell.keys_and_values(x)  # type: ignore[operator]
            read.append(keys)
            read.append(values)
            if block + 1 < len(self.cells) or not self.target_pooling:
                x = cell(x, own_hidden)
        return [hidden, for_head, (x * counted).sum(dim=1), counted.sum(dim=1)] + read  # noqa: RUF005  TorchScript

    def _tiled(self, targets: Tensor, history: Tensor, real: Tensor) -> Tensor:
        """Run the cells over a sequence for each candidate `[B, N, D]`, behind `history` `[B, L, D]`; pool: `[B, N,
        D]`.
        """
        number, length = targets.size(1), history.size(1)
        x = torch.cat((history.unsqueeze(1).expand(-1, number, -1, -1), targets.unsqueeze(2)), dim=2).flatten(0, 1)
        here = F.pad(real, (0, 1), value=True).unsqueeze(1).expand(-1, number, -1).flatten(0, 1)  # [B * N, L + 1]
        places = torch.arange(length + 1, device=real.device)
        visible = here.unsqueeze(1).expand(-1, length + 1, -1)
        if not self.full_mask:
            visible = visible & (places.unsqueeze(1) >= places)
        hidden = (~visible).to(x.dtype).unsqueeze(1) * self.hidden_logit
        for block, cell in enumerate(self.cells):
            if self.reads_target_alone and block + 1 == len(self.cells):
                keys, values = cell.keys_and_values(x[:, :-1])  # type: ignore[operator]
                x = cell.read(x[:, -1:], keys, values, hidden[:, :, -1:, :-1])  # type: ignore[operator]
            else:
                x = cell(x, hidden)
        if self.target_pooling:
            pooled = x[:, -1]
        else:
            counted = here.unsqueeze(-1).to(x.dtype)
            pooled = (x * counted).sum(dim=1)
            if self.mean_pooling:
                pooled = pooled / counted.sum(dim=1)
        return pooled.unflatten(0, (-1, number))


def _reader(config: BSTConfig) -> ClickBST:
    """Make the encoder of another sequence: a click model whose head is its first layer."""
    reader = ClickBST(config)
    del reader.head[1:]
    return reader


def _rows(inputs: Dict[str, Tensor], predicts: Tensor) -> Dict[str, Tensor]:  # noqa: UP006
    """Make a row of each prefix: later events become padding, and the request is that of the event to come."""
    row, slot = predicts.nonzero(as_tuple=True)
    later = torch.arange(predicts.size(1), device=predicts.device) > slot.unsqueeze(1)
    rows = {"items": inputs["items"][row].masked_fill(later, 0), "context": inputs["context"][row, slot]}
    if "numbers" in inputs:
        rows["numbers"] = inputs["numbers"][row, slot]
    if "events" in inputs:
        rows["events"] = inputs["events"][row]
    if "event_time" in inputs:
        times = torch.cat((inputs["event_time"][:, 1:], inputs["request_time"].unsqueeze(1)), dim=1)
        rows["event_time"], rows["request_time"] = inputs["event_time"][row], times[row, slot]
    return rows
