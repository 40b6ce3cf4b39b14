"""ONNX: each signature as a graph of plain operators, all graphs over one file of weights.

torch exports the index-level graph; `export.formats.onnx.frame` adds what torch cannot export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import Tensor, nn

from bst.config import BSTConfig
from bst.data.vocabulary import Vocabularies
from export.contract.manifest import OutputLayer, TensorPlace
from export.contract.signatures import OF_OUTPUT_LAYER, SIGNATURES, Ids, Signature, SignatureKind, TopK
from export.formats.onnx.candidates import put_in_blocks
from export.formats.onnx.check import check_onnx
from export.formats.onnx.frame import put_frame
from export.formats.onnx.shortlist import put_shortlist
from export.formats.quiet import quiet
from export.serving.guards import Guards
from export.serving.scorer import ClickScorer, Scorer
from export.shortlist.choice import Shortlist

# The lowest that goes with each opset, so that runtimes of its time read the file; nothing of a later one is used.
IR_VERSIONS = {18: 8, 20: 9, 21: 10, 23: 11}
TOP_K, ENCODE_USER = "top_k", "encode_user"  # the signature with a shortlist, and the one it begins with
WEIGHTS_FILE = "weights.bin"
ALIGNMENT = 4096  # a page, so that a runtime can map each tensor straight from the file
LENGTHS_OF_SEQUENCES = 11  # of the first in the example, the next ones are longer
INLINE_BYTES = 1024  # smaller tensors are shapes and constants, which shape inference reads


def save_onnx(
    scorer: Scorer | ClickScorer,
    config: BSTConfig,
    signatures: tuple[Signature, ...],
    vocabularies: Vocabularies,
    folder: Path,
    *,
    top_k: TopK,
    opset: int,
    metadata: Mapping[str, str],
    shortlist: Shortlist | None = None,
    single_file: bool = False,
) -> OutputLayer | None:
    """Write `<signature>.onnx` for each signature into `folder`, and the weights of all of them into `weights.bin`.

    Args:
        metadata: goes into `metadata_props` of every file, with `bst.signature.NAME` beside it.
        shortlist: the compact copies for `top_k`; without it, `top_k` scores all items.
        single_file: each graph holds its weights itself, and there is no `weights.bin`.

    Returns:
        Where in the weights the output layer lies, if `signatures` are among them that prove it.

    Raises:
        CheckError: a file is not a valid model, or an axis came out static or under another name.
    """
    starts = {spec.name: ENCODE_USER if shortlist and spec.name == TOP_K else spec.name for spec in signatures}
    kinds = [SIGNATURES.find(name) for name in dict.fromkeys(starts.values())]
    whole = _export_whole(scorer, config, kinds, signatures[0].ids, opset)
    models = {}
    for signature in signatures:
        model = _part_of(whole, starts[signature.name])
        if shortlist and isinstance(scorer, Scorer) and signature.name == TOP_K:
            _put_shortlist(model, scorer, shortlist, top_k, opset)
        if isinstance(scorer, ClickScorer):
            put_in_blocks(model, scorer.block)
        put_frame(model, signature, config, top_k, vocabularies)
        model.ir_version = IR_VERSIONS[opset]
        # Under a name of its own: `onnx.compose` joins no graphs that give one name two values.
        own = {f"bst.signature.{signature.name}": signature.model_dump_json()}
        model.metadata_props.update({**metadata, **own})
        models[signature.name] = model
    output_layer = None if single_file else _place_weights(folder, models, scorer)
    for value in whole.graph.initializers.values():
        value.const_value = None  # the exporter's rewrite rules keep their last graph in memory, and so the weights
    for signature in signatures:
        path = folder / f"{signature.name}.onnx"
        ir.save(models[signature.name], path)
        check_onnx(path, signature)
    return output_layer


def _place_weights(folder: Path, models: Mapping[str, ir.Model], scorer: Scorer | ClickScorer) -> OutputLayer | None:
    weights = _Weights(folder)
    for model in models.values():
        weights.take_from(model)
    if not isinstance(scorer, Scorer) or not models.keys() >= set(OF_OUTPUT_LAYER):
        return None
    return weights.place_output_layer(scorer)


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


def _export_whole(
    scorer: Scorer | ClickScorer, config: BSTConfig, kinds: Sequence[SignatureKind], ids: Ids, opset: int
) -> ir.Model:
    # Sizes above 1 and different from one another, so that none is taken for another or for a constant.
    sizes = {"batch": 3, "length": min(2, scorer.max_length)}
    example: dict[str, Any] = {"items": torch.ones(*sizes.values(), dtype=torch.int64)}
    batch = torch.export.Dim("batch", min=1)
    axes: dict[str, Any] = {"items": {0: batch, **_slots("", scorer)}}
    if any(kind.takes_candidates for kind in kinds):
        columns = [1 + len(group.names(config)) for group in config.candidate_inputs]
        example["candidates"] = torch.ones(3, 5, *columns, dtype=torch.int64)
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
    with quiet("torch.onnx"):
        program = torch.onnx.export(
            _Whole(scorer, kinds, ids).eval(),
            kwargs=example,
            input_names=names,
            output_names=[f"inner/{kind.name}/{place}" for kind in kinds for place in range(_outputs_of(kind, config))],
            opset_version=opset,
            dynamic_shapes=axes,
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
    return 1 + (kind.picks or not config.scores_catalogue)


def _part_of(whole: ir.Model, signature: str) -> ir.Model:
    """Copy what the outputs of one signature need; weights are shared with `whole`."""
    part = whole.clone()
    part.graph.outputs[:] = [
        output for output in part.graph.outputs if str(output.name).startswith(f"inner/{signature}/")
    ]
    RemoveUnusedNodesPass()(part)
    part.graph.inputs[:] = [value for value in part.graph.inputs if value.uses()]
    return part


def _put_shortlist(model: ir.Model, scorer: Scorer, shortlist: Shortlist, top_k: TopK, opset: int) -> None:
    weights, biases = (ir.tensor(part.detach().numpy()) for part in scorer.model.output_layer_parameters())
    put_shortlist(
        model,
        shortlist,
        (weights, biases),
        first_row=int(scorer.model.tied_output),
        num_items=scorer.num_items,
        limit=top_k.limit,
        exclude_history=top_k.exclude_history,
        opset=opset,
    )


class _Weights:
    """The one file of weights: every large tensor once, on a page of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.placed: dict[bytes, int] = {}  # hash of the content -> offset
        (folder / WEIGHTS_FILE).touch()

    def take_from(self, model: ir.Model) -> None:
        """Move every large initializer of `model` into the file, and replace it by a reference to there."""
        graphs = [model.graph, *model.graph.subgraphs()]
        for value in (value for graph in graphs for value in graph.initializers.values()):
            tensor = value.const_value
            if tensor is None or tensor.dtype == ir.DataType.STRING or tensor.nbytes < INLINE_BYTES:
                continue
            value.const_value = ir.ExternalTensor(
                WEIGHTS_FILE,
                self._place(tensor.numpy()),
                tensor.nbytes,
                tensor.dtype,
                shape=ir.Shape(tensor.numpy().shape),
                name=str(value.name),
                base_dir=self.folder,
            )

    def place_output_layer(self, scorer: Scorer) -> OutputLayer:
        """Return the place of the output layer; a part that no graph holds (a bias of zeros) is written as well."""
        parts = [part.detach().numpy() for part in scorer.model.output_layer_parameters()]
        weights, biases = (
            TensorPlace(path=f"onnx/{WEIGHTS_FILE}", offset=self._place(part), shape=part.shape) for part in parts
        )
        return OutputLayer(weights=weights, biases=biases, first_row=int(scorer.model.tied_output))

    def _place(self, array: NDArray[Any]) -> int:
        content = np.ascontiguousarray(array).data.cast("B")  # a view: weights may be gigabytes
        key = hashlib.sha256(content).digest()
        if key not in self.placed:
            with (self.folder / WEIGHTS_FILE).open("ab") as stream:
                stream.write(b"\0" * (-stream.tell() % ALIGNMENT))
                self.placed[key] = stream.tell()
                stream.write(content)
        return self.placed[key]
