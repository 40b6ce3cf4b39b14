"""ONNX: each signature as a graph of plain operators, all graphs over one file of weights.

torch exports the index-level graph; `export.formats.onnx.frame` adds what torch cannot export.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from bst.config import BSTConfig
from bst.data.vocabulary import Vocabularies
from export.contract.manifest import OutputLayer, TensorPlace
from export.contract.signatures import (
    ENCODE_USER,
    OF_OUTPUT_LAYER,
    SIGNATURES,
    Signature,
    TopK,
)
from export.formats.onnx.candidates import put_in_blocks
from export.formats.onnx.check import check_onnx
from export.formats.onnx.frame import put_frame
from export.formats.onnx.shortlist import put_shortlist
from export.formats.onnx.whole import export_of_users, export_whole
from export.serving.scorer import ClickScorer, Scorer
from export.shortlist.choice import Shortlist

# The lowest that goes with each opset, so that runtimes of its time read the file; nothing of a later one is used.
IR_VERSIONS = {18: 8, 20: 9, 21: 10, 23: 11}
TOP_K = "top_k"  # the signature with a shortlist, which begins with `encode_user`
WEIGHTS_FILE = "weights.bin"
ALIGNMENT = 4096  # a page, so that a runtime can map each tensor straight from the file
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
    kinds = [kind for kind in kinds if not kind.takes_user_vector]
    whole = export_whole(scorer, config, kinds, signatures[0].ids, opset)
    wholes = {
        spec.name: export_of_users(scorer, config, spec, opset) if spec.kind.takes_user_vector else whole
        for spec in signatures
    }
    models = {}
    for signature in signatures:
        model = _part_of(wholes[signature.name], starts[signature.name])
        if shortlist and isinstance(scorer, Scorer) and signature.name == TOP_K:
            _put_shortlist(model, scorer, shortlist, top_k, opset)
        if isinstance(scorer, ClickScorer) and signature.kind.takes_candidates:
            put_in_blocks(model, scorer.block)
        put_frame(model, signature, config, top_k, vocabularies)
        model.ir_version = IR_VERSIONS[opset]
        # Under a name of its own: `onnx.compose` joins no graphs that give one name two values.
        own = {f"bst.signature.{signature.name}": signature.model_dump_json()}
        model.metadata_props.update({**metadata, **own})
        models[signature.name] = model
    output_layer = None if single_file else _place_weights(folder, models, scorer)
    for value in (value for exported in wholes.values() for value in exported.graph.initializers.values()):
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
