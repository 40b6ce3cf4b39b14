"""The signatures as torch code: once at index level, and once with raw ids as inputs and outputs.

All but `ServedModel` can be scripted, and all of it runs eagerly and is exported by `torch.export`. No
`from __future__ import annotations`, because TorchScript reads the annotations of attributes.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Dict, Final, List, Tuple  # noqa: UP035  the words that TorchScript knows

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._jit_internal import is_scripting

from bst.config import FLOAT_BYTES, BSTConfig, InputGroup
from bst.data.vocabulary import Vocabularies
from bst.model import BST, ClickBST
from export.contract.model_signatures import parts_of_user_vector
from export.contract.signatures import SIGNATURES, USER_VECTOR, Signature, TopK
from export.serving.candidates import CandidateRows
from export.serving.encoder import PackedEncoder
from export.serving.guards import Guards
from export.serving.ids import IntegerIds, TextIds, id_table

BLOCK_BYTES = 2**20  # the second cache of a core: half of it or all, of today's servers
FEWEST_ROWS = 8


class Scorer(Guards):
    """The index-level signatures of a model: a method of that name each, of the user vectors that `encode` gives.

    Inputs are those of `BST.forward`, user vectors float32 `[batch, user_width]`. Indices must be in range:
    `guard_items`, `guard_context` and `guard_events` ensure this.

    `packed`: the encoder computes nothing for padding (`export.serving.encoder`), where padding does not count.
    """

    exclude_history: Final[bool]
    packed: Final[bool]

    def __init__(
        self, model: BST, config: BSTConfig, top_k: TopK, *, one_length: bool = False, packed: bool = False
    ) -> None:
        super().__init__(config, one_length=one_length)
        self.model = model.eval()
        self.packed = packed and not model.padding_counts
        if self.packed:
            self.encoder = PackedEncoder(model)
        self.limit = top_k.limit
        self.exclude_history = top_k.exclude_history

    def vectors(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        """Encode the newest `max_length` slots of histories of any length: see `encode`."""
        return self.encode(self.cut(inputs))

    def encode(self, inputs: Dict[str, Tensor]) -> Tensor:  # noqa: UP006
        """Encode histories of at most `max_length` slots: float32 `[batch, user_width]`.

        The product with an item's output row, plus its bias, is the score. `inputs` are those of `BST.user_vectors`.
        """
        if self.packed:
            return self.encoder(inputs)
        else:  # TorchScript compiles only the branch that the constant chooses
            return self.model.user_vectors(inputs)

    def encode_user(self, user_vectors: Tensor) -> Tensor:
        return user_vectors

    def all_scores(self, user_vectors: Tensor) -> Tensor:
        """Score every item: float32 `[batch, num_items]`, column j is the item with index j + 1."""
        return self.model.item_scores(user_vectors)

    def top_k(self, user_vectors: Tensor, seen: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        """Pick the best: their indices int64 `[batch, limit]` and scores float32 `[batch, limit]`, best first.

        `seen`, int64 `[batch, any]`, holds the indices to leave out where the scorer excludes the history, 0 for none.
        Places without an item hold index 0 and a score of -inf.
        """
        scores = self.all_scores(user_vectors)
        if self.exclude_history:
            nothing = torch.full_like(seen, -math.inf, dtype=scores.dtype)
            # By "amin": ONNX allows a repeated index, such as padding's, only with a reduction.
            scores = F.pad(scores, (1, 0), value=-math.inf).scatter_reduce(1, seen, nothing, "amin")
            best, indices = scores.topk(self.limit)
            return torch.where(best == -math.inf, 0, indices), best
        else:
            best, columns = scores.topk(self.limit)
            return columns + 1, best

    def score_candidates(self, user_vectors: Tensor, candidates: Tensor) -> Tensor:
        """Score `candidates`, int64 `[batch, n]`: float32 `[batch, n]`, -inf for index 0. Reads only their rows."""
        if is_scripting():  # noqa: SIM102  other formats refuse it by themselves
            if candidates.size(0) != user_vectors.size(0):
                raise ValueError(
                    f"candidates have {candidates.size(0)} rows for {user_vectors.size(0)} users; give a row each"
                )
        rows, biases = self.model.output_rows(candidates.clamp(min=1))
        scores = (rows @ user_vectors.unsqueeze(2)).squeeze(2) + biases
        return scores.masked_fill(candidates < 1, -math.inf)

    def first(self, columns: Tensor, k: Tensor) -> Tensor:
        """Cut columns to the first `k`, int64 `[1]`; a k below 1 is taken for 1, beyond the limit for the limit."""
        count = k.clamp(1, self.limit).item()
        if is_scripting():
            return columns[:, : int(count)]
        else:  # torch.export knows only these bounds of a number from a tensor
            torch._check(count >= 1)
            torch._check(count <= self.limit)
            return columns[:, :count]


class ClickScorer(Guards):
    """The index-level signatures of a click model, of what its `encode_user` gives.

    `packed`: candidates are rows that read the history (`export.serving.candidates`), where it is computed once.
    """

    packed: Final[bool]

    def __init__(self, model: ClickBST, config: BSTConfig, *, one_length: bool = False, packed: bool = False) -> None:
        super().__init__(config, one_length=one_length)
        self.model = model.eval()
        self.packed = packed and model.history_once
        if self.packed:
            self.rows = CandidateRows(model)
        self.block = rows_a_block(config)
        self.num_heads, self.num_blocks = config.num_heads, config.num_blocks
        self.parts = list(parts_of_user_vector(config))

    def vectors(self, inputs: Dict[str, Tensor]) -> List[Tensor]:  # noqa: UP006
        """Encode the newest `max_length` slots of histories of any length: see `encode`."""
        return self.encode(self.cut(inputs))

    def encode(self, inputs: Dict[str, Tensor]) -> List[Tensor]:  # noqa: UP006
        """Compute what does not depend on a candidate, of histories of at most `max_length` slots."""
        return self.model.encode_user(inputs)

    def encode_user(self, user: List[Tensor]) -> Tensor:  # noqa: UP006
        """Join what a user keeps between requests: float32 `[batch, width]`, see `parts_of_user_vector`."""
        real = user[0].flatten(1) / -self.model.hidden_logit + 1  # [batch, length]
        parts = [user[1], self._in_last_slots(real.unsqueeze(-1))]
        if not self.model.target_pooling:
            parts.append(user[2])
        for keys_or_values in user[4:]:
            there = keys_or_values * real.unsqueeze(1).unsqueeze(-1)
            parts.append(self._in_last_slots(there))
        return torch.cat(parts, dim=1)

    def _in_last_slots(self, rows: Tensor) -> Tensor:
        """Fill `[batch, ..., length, any]` up to `max_length` with zeros in front, flat: `[batch, ... any]`."""
        return F.pad(rows, (0, 0, self.max_length, 0)).narrow(-2, rows.size(-2), self.max_length).flatten(1)

    def score_candidates_from_user(self, user_vector: Tensor, candidates: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        """Give what `score_candidates` gives, of the users that `encode_user` joined."""
        parts: List[Tensor] = []  # noqa: UP006
        start = 0
        for width in self.parts:
            parts.append(user_vector.narrow(1, start, width))
            start += width
        real = parts[1]
        hidden = ((real - 1) * -self.model.hidden_logit).unsqueeze(1).unsqueeze(1)
        # The third part is the sum of the states where that is read, and else it is not looked at.
        user = [hidden, parts[0], parts[2], real.sum(dim=1, keepdim=True)]
        for part in parts[-2 * self.num_blocks :]:
            keys_or_values = part.unflatten(1, (self.num_heads, self.max_length, -1))
            user.append(keys_or_values)
        return self.score_candidates(user, candidates)

    def score_candidates(self, user: List[Tensor], candidates: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: UP006
        """Give the probabilities of `candidates` and their logits, float32 `[batch, n]` both; of index 0 they are 0 and
        -inf. Candidates are those of `ClickBST.candidate_logits`.
        """
        if is_scripting():
            if candidates.size(0) != user[0].size(0):  # other formats refuse it by themselves
                raise ValueError(
                    f"candidates have {candidates.size(0)} rows for {user[0].size(0)} users; give a row each"
                )
            # In blocks, as `export.formats.onnx.candidates` has it in ONNX.
            parts: List[Tensor] = []  # noqa: UP006
            for part in candidates.split(self.block // candidates.size(0) + 1, dim=1):
                parts.append(self.logits(user, part))  # noqa: PERF401  TorchScript
            scores = torch.cat(parts, dim=1)
        else:
            scores = self.logits(user, candidates)
        items = candidates[:, :, 0] if candidates.dim() == 3 else candidates
        scores = scores.masked_fill(items < 1, -math.inf)
        return torch.sigmoid(scores), scores

    def logits(self, user: List[Tensor], candidates: Tensor) -> Tensor:  # noqa: UP006
        """Give the logits of candidates: `ClickBST.candidate_logits`."""
        if self.packed:
            return self.rows(user, candidates)
        else:  # TorchScript compiles only the branch that the constant chooses
            return self.model.candidate_logits(user, candidates)


def rows_a_block(config: BSTConfig) -> int:
    """Return how many candidates a click model takes at a time, so that the widest layer of all of them stays in the
    cache of a core; where each is a sequence of its own, its slots count.
    """
    encoders = (config, *config.encoder_configs)
    longest = 1 + max(encoder.max_length for encoder in encoders)
    widths = (max(encoder.ff_width, 3 * encoder.dim) for encoder in encoders)
    widest = max(*widths, *config.head_sizes, config.num_heads * longest)
    slots = 1 if config.history_once else longest
    return max(FEWEST_ROWS, BLOCK_BYTES // (FLOAT_BYTES * widest * slots))


def make_scorer(
    model: BST, config: BSTConfig, top_k: TopK, *, one_length: bool = False, packed: bool = False
) -> Scorer | ClickScorer:
    """Build a scorer that answers every signature of `SIGNATURES`, also one that was added from elsewhere."""
    if isinstance(model, ClickBST):
        return ClickScorer(model, config, one_length=one_length, packed=packed)
    methods = {kind.name: kind.method for kind in SIGNATURES if kind.method is not None}
    cls = type("Scorer", (Scorer,), methods) if methods else Scorer
    return cls(model, config, top_k, one_length=one_length, packed=packed)


class ServedModel(nn.Module):
    """A scorer with its id tables. `method` returns a signature as a function, eagerly and for `torch.export`;
    TorchScript compiles source text alone, so `export.formats.torchscript` writes the same as text."""

    def __init__(self, scorer: Scorer | ClickScorer, vocabularies: Vocabularies | None, config: BSTConfig) -> None:
        super().__init__()
        self.scorer = scorer
        self.config = config
        if vocabularies is not None:
            self.item_ids = id_table(vocabularies.items, config.unknown_row)
            for group in (*config.inputs, *config.candidate_inputs):
                if group.holds == "items":  # `item_ids` looks them up
                    continue
                for name, vocabulary in vocabularies.of(group).items():
                    setattr(self, f"{name}_ids", id_table(vocabulary))

    def method(self, signature: Signature) -> Callable[..., Any]:
        """Return `signature` as a function of its inputs, in order or by name: tensors, and lists of text."""

        def answer(*inputs: Any) -> Any:
            return self.answer(signature, dict(zip(names, inputs, strict=True)))

        names = [spec.name for spec in signature.inputs]
        parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        answer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return answer

    def answer(self, signature: Signature, inputs: Mapping[str, Any]) -> Any:
        """Answer a call of `signature`: its only output, or a tuple of them."""
        kind, scorer = signature.kind, self.scorer
        if kind.takes_user_vector:
            arguments: list[Any] = [inputs[USER_VECTOR]]
        else:
            seen = self._items(signature, inputs[signature.inputs[0].name])
            by_index = {"items": seen, "context": seen.new_zeros([seen.size(0), 0])}
            by_index |= {group.name: self._beside(group, signature, inputs) for group in self.config.inputs}
            arguments = [scorer.vectors(by_index)]
        if kind.takes_candidates:
            parts = [self._items(signature, inputs["candidates"]).unsqueeze(-1)]
            parts += [self._beside(group, signature, inputs) for group in self.config.candidate_inputs]
            arguments.append(torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0].squeeze(-1))
        if not kind.picks:
            return getattr(scorer, kind.name)(*arguments)
        assert isinstance(scorer, Scorer)
        indices, scores = getattr(scorer, kind.name)(*arguments, seen)
        if signature.takes("k"):
            indices, scores = (scorer.first(part, inputs["k"]) for part in (indices, scores))
        return self.item_ids.raw(indices) if signature.ids == "raw" else indices, scores

    def _items(self, signature: Signature, ids: Any) -> Tensor:
        if signature.ids == "index":
            return self.scorer.guard_items(ids)
        return self.item_ids(ids) if isinstance(self.item_ids, IntegerIds) else self.item_ids.rows(ids)

    def _beside(self, group: InputGroup, signature: Signature, inputs: Mapping[str, Any]) -> Tensor:
        if group.holds == "items":
            return self._items(signature, inputs[group.name])
        if signature.ids == "index" or not group.stacked:
            tensor: Tensor = inputs[group.name]
            return tensor if group.holds != "categories" else getattr(self.scorer, f"guard_{group.name}")(tensor)
        columns = [inputs[name] for name in group.names(self.config)]
        if group.holds == "categories":
            columns = [self._indices(name, inputs[name]) for name in group.names(self.config)]
        return torch.stack(columns, dim=-1)

    def _indices(self, name: str, raw: Any) -> Tensor:
        table = getattr(self, f"{name}_ids")
        return table.rows(raw) if isinstance(table, TextIds) and raw and isinstance(raw[0], list) else table(raw)
