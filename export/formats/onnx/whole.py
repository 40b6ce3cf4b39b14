"""The graph of all signatures at once, of index-level inputs, as torch exports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from bst.config import BSTConfig
from export.contract.model_signatures import parts_of_user_vector
from export.contract.signatures import USER_VECTOR, Ids, Signature, SignatureKind
from export.formats.quiet import quiet
from export.serving.guards import Guards
from export.serving.scorer import ClickScorer, Scorer

LENGTHS_OF_SEQUENCES = 11  # of the first in the example, the next ones are longer


class _Whole(nn.Module):
    """All signatures at once, of index-level inputs, exported by torch in one go. Each signature takes its part of
    the graph.
    """

    def __init__(self, scorer: Scorer | ClickScorer, kinds: Sequence[SignatureKind], ids: Ids) -> None:
        super().__init__()
        self.scorer, self.kinds = scorer, kinds
        self.guard = ids == "index"  # raw ids are in range once they are looked up

    def forward(
        self,
        items: Tensor,
        candidates: Tensor | None = None,
        context: Tensor | None = None,
        seen: Tensor | None = None,
        events: Tensor | None = None,
        event_time: Tensor | None = None,
        request_time: Tensor | None = None,
        numbers: Tensor | None = None,
        sequences: list[Tensor] | None = None,
    ) -> tuple[Tensor, ...]:
        """Run everything. `items` are cut to the newest already, and so is what stands beside them, unless the model
        reads the oldest; `seen` are all of them, where that matters. So are `sequences`, each for itself.
        """
        scorer = self.scorer
        if self.guard:
            items = scorer.guard_items(items)
            candidates = None if candidates is None else _guarded(scorer, candidates)
            context = None if context is None else scorer.guard_context(context)
            events = None if events is None else scorer.guard_events(events)
            seen = None if seen is None else scorer.guard_items(seen)
            sequences = [scorer.guard_items(sequence) for sequence in sequences or ()]
        if context is None:
            context = items.new_zeros((items.size(0), 0))
        named = {"context": context, "events": events, "event_time": event_time, "request_time": request_time}
        named |= {"items": items, "numbers": numbers}
        inputs = {name: tensor for name, tensor in named.items() if tensor is not None}
        inputs |= zip(scorer.sequence_names, sequences or (), strict=True)
        vectors = scorer.encode(_cut_to_oldest(scorer, inputs))
        outputs: list[Tensor] = []
        for kind in self.kinds:
            arguments = [vectors, *([candidates] if kind.takes_candidates else [])]
            arguments += [items if seen is None else seen] if kind.picks else []
            answer = getattr(scorer, kind.name)(*arguments)
            outputs += answer if isinstance(answer, tuple) else (answer,)
        return tuple(outputs)


class _OfUsers(nn.Module):
    """A signature of user vectors. Not a part of `_Whole`: of equal sizes torch asks the input that it likes, and a
    history and a user vector stand in no graph together.
    """

    def __init__(self, scorer: ClickScorer, signature: Signature) -> None:
        super().__init__()
        self.scorer, self.signature = scorer, signature

    def forward(self, candidates: Tensor, user_vector: Tensor) -> tuple[Tensor, ...]:
        if self.signature.ids == "index":
            candidates = _guarded(self.scorer, candidates)
        answer: tuple[Tensor, ...] = getattr(self.scorer, self.signature.name)(user_vector, candidates)
        return answer


def _cut_to_oldest(scorer: Scorer | ClickScorer, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cut those histories of which the model reads the oldest events; the others are cut before the graph."""
    cut = scorer.cut_history(inputs) if scorer.keeps_oldest else dict(inputs)
    for name, guards in zip(scorer.sequence_names, scorer.sequences, strict=True):
        if isinstance(guards, Guards) and guards.keeps_oldest:
            cut[name] = guards.cut_history({"items": inputs[name]})["items"]
    return cut


def _guarded(scorer: Scorer | ClickScorer, candidates: Tensor) -> Tensor:
    """Bring candidates `[batch, n]`, or with their features `[batch, n, any]`, into range."""
    if candidates.dim() == 2:
        return scorer.guard_items(candidates)
    items = scorer.guard_items(candidates[:, :, :1])
    return torch.cat((items, scorer.guard_candidate_features(candidates[:, :, 1:])), dim=-1)


def export_whole(
    scorer: Scorer | ClickScorer, config: BSTConfig, kinds: Sequence[SignatureKind], ids: Ids, opset: int
) -> ir.Model:
    """Export all signatures that read a user, as one graph of index-level inputs."""
    # Sizes above 1 and different from one another, so that none is taken for another or for a constant.
    sizes = {"batch": 3, "length": min(2, scorer.max_length)}
    example: dict[str, Any] = {"items": torch.ones(*sizes.values(), dtype=torch.int64)}
    batch = torch.export.Dim("batch", min=1)
    axes: dict[str, Any] = {"items": {0: batch, **_slots("", scorer)}}
    if any(kind.takes_candidates for kind in kinds):
        example["candidates"] = _example_candidates(config)
        axes["candidates"] = {0: batch, 1: torch.export.Dim("n", min=1)}
    for group in config.inputs:
        if group.holds == "items":
            continue
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in group.axes(config)]
        dtype = torch.float32 if group.holds == "numbers" else torch.int64
        example[group.name] = torch.ones(shape, dtype=dtype)
        axes[group.name] = axes["items"] if group.per_event else {0: batch}
    if isinstance(scorer, Scorer) and scorer.exclude_history and any(kind.picks for kind in kinds):
        example["seen"] = torch.ones(3, 7, dtype=torch.int64)
        axes["seen"] = {0: batch, 1: torch.export.Dim("length", min=1)}
    names = list(example)
    for place, (name, guards) in enumerate(zip(scorer.sequence_names, scorer.sequences, strict=True)):
        assert isinstance(guards, Guards)
        longest = min(LENGTHS_OF_SEQUENCES + place, guards.max_length)
        example.setdefault("sequences", []).append(torch.ones(3, longest, dtype=torch.int64))
        axes.setdefault("sequences", []).append({0: batch, **_slots(f"{name}_", guards)})
        names.append(name)
    return _exported(_Whole(scorer, kinds, ids), example, axes, names, kinds, config, opset)


def export_of_users(scorer: Scorer | ClickScorer, config: BSTConfig, signature: Signature, opset: int) -> ir.Model:
    """Export a signature that takes user vectors."""
    assert isinstance(scorer, ClickScorer)
    vectors = torch.ones(3, sum(parts_of_user_vector(config)))
    example = {"candidates": _example_candidates(config), USER_VECTOR: vectors}
    batch = torch.export.Dim("batch", min=1)
    axes = {"candidates": {0: batch, 1: torch.export.Dim("n", min=1)}, USER_VECTOR: {0: batch}}
    return _exported(_OfUsers(scorer, signature), example, axes, list(example), [signature.kind], config, opset)


def _example_candidates(config: BSTConfig) -> Tensor:
    columns = [1 + len(group.names(config)) for group in config.candidate_inputs]
    return torch.ones(3, 5, *columns, dtype=torch.int64)


def _exported(
    module: nn.Module,
    example: Mapping[str, Any],
    axes: Mapping[str, Any],
    names: Sequence[str],
    kinds: Sequence[SignatureKind],
    config: BSTConfig,
    opset: int,
) -> ir.Model:
    with quiet("torch.onnx"):
        program = torch.onnx.export(
            module.eval(),
            kwargs=dict(example),
            input_names=list(names),
            output_names=[f"inner/{kind.name}/{place}" for kind in kinds for place in range(_outputs_of(kind, config))],
            opset_version=opset,
            dynamic_shapes=dict(axes),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model


def _slots(prefix: str, guards: Guards) -> dict[int, Any]:
    """Return the dynamic axis of the slots of a history, by its place."""
    if guards.keeps_oldest:
        return {1: torch.export.Dim(f"{prefix}length", min=1)}
    if guards.max_length == 1:  # the cut leaves one slot, and nothing to be dynamic about
        return {}
    # Behind the cut the length has another name: a runtime may plan memory on equal names being equal sizes.
    return {1: torch.export.Dim(f"{prefix}window", min=1, max=guards.max_length)}


def _outputs_of(kind: SignatureKind, config: BSTConfig) -> int:
    """Return how many tensors a signature gives."""
    return 1 + (kind.picks or (kind.takes_candidates and not config.scores_catalogue))
