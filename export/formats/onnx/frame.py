"""The frame around an index-level ONNX graph: the cut to the newest items, raw ids in and out, the cut to k.

Ids are looked up by `ai.onnx.ml` LabelEncoder, and given back by a Gather from a table. All names made here or by torch
hold a slash, so that none can collide with an input: a context feature is an identifier.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bst.config import BSTConfig
from bst.data.vocabulary import Vocabularies, Vocabulary
from export.contract.signatures import USER_VECTOR, Dtype, Signature, TensorSpec, TopK
from export.formats.onnx.blocks import mark_blocks
from export.formats.onnx.nodes import Nodes

ML_OPSET = 3  # LabelEncoder with int64 and string keys
DTYPES: dict[Dtype, ir.DataType] = {
    "int64": ir.DataType.INT64,
    "float32": ir.DataType.FLOAT,
    "string": ir.DataType.STRING,
}


def put_frame(
    model: ir.Model,
    signature: Signature,
    config: BSTConfig,
    top_k: TopK,
    vocabularies: Vocabularies,
) -> None:
    """Replace the inputs and outputs of the index-level `model` by those of `signature`, in place.

    Unless padding counts to the model, leading slots that are padding in the whole batch are cut off.
    """
    frame = _Frame(model.graph, vocabularies, config)
    outer = {spec.name: _value(spec) for spec in signature.inputs}
    if signature.ids == "raw":
        frame.look_up(outer, signature)
    else:
        frame.ready = dict(outer)
    frame.feed(trimmed=config.padding != "counted")
    model.graph.inputs[:] = outer.values()
    frame.replace_outputs(signature, outer.get("k"), top_k)
    if signature.ids == "raw":
        model.opset_imports["ai.onnx.ml"] = ML_OPSET
    model.producer_name, model.producer_version = "bst", None
    _forget_the_exporter(model.graph)


class _Frame:
    """A graph with its inner inputs, and the nodes to be put before it."""

    def __init__(self, graph: ir.Graph, vocabularies: Vocabularies, config: BSTConfig) -> None:
        self.graph, self.vocabularies, self.config = graph, vocabularies, config
        self.nodes = Nodes(graph, "bst")
        self.ready: dict[str, ir.Value] = {}  # the values for the inner inputs, by their names
        for value in [*graph.initializers.values(), *(output for node in graph for output in node.outputs)]:
            value.name = f"model/{value.name}"
        mark_blocks(graph, of_candidates=not config.scores_catalogue)
        self.axis = self.nodes.constant("axis_1", [1])
        self.end = self.nodes.constant("end", [2**63 - 1])

    def look_up(self, outer: dict[str, ir.Value], signature: Signature) -> None:
        """Turn raw ids into indices. One table serves all items: joined, looked up, parted again."""
        sequences = [group.name for group in self.config.sequence_groups]
        of_items = {"history": "items", **{name: name for name in sequences}, "candidates": "candidates"}
        self._look_up_items({inner: outer[name] for name, inner in of_items.items() if name in outer})
        if USER_VECTOR in outer:
            self.ready[USER_VECTOR] = outer[USER_VECTOR]
        for group in (*self.config.inputs, *self.config.candidate_inputs):
            names, vocabularies = group.names(self.config), self.vocabularies.of(group)
            if group.holds == "items" or not outer.keys() >= set(names):
                continue
            if not group.stacked:
                self.ready[group.name] = outer[group.name]
                continue
            columns = [self._encode(outer[name], vocabularies[name]) if vocabularies else outer[name] for name in names]
            axis = len(group.input_axes)
            wide = [self._column(value, axis) for value in columns]
            self.ready[group.name] = self.nodes.add("Concat", *wide, axis=axis)

    def _look_up_items(self, raw: dict[str, ir.Value]) -> None:
        """Turn raw ids of items, `[batch, any]` each, into indices, by the names of the inner inputs."""
        *parts, last = raw
        if not parts:
            self.ready[last] = self._encode(raw[last], self.vocabularies.items, self.config.unknown_row)
            return
        lengths = {name: self.nodes.add("Shape", raw[name], start=1, end=2) for name in parts}
        joined = self.nodes.add("Concat", *raw.values(), axis=1)
        encoded = self._encode(joined, self.vocabularies.items, self.config.unknown_row)
        start = self.nodes.constant("start", [0])
        for name, value in raw.items():
            end = self.end
            if name != last:
                end = lengths[name] if name == parts[0] else self.nodes.add("Add", start, lengths[name])
            indices = self.nodes.add("Slice", encoded, start, end, self.axis)
            indices.shape, indices.type = value.shape, ir.TensorType(ir.DataType.INT64)
            self.ready[name] = indices
            start = end

    def _column(self, value: ir.Value, axis: int) -> ir.Value:
        return self.nodes.add("Unsqueeze", value, self.nodes.constant(f"axis_{axis}", [axis]))

    def feed(self, *, trimmed: bool) -> None:
        """Connect the inner inputs: `items`, and what stands beside them, behind the cut to the newest slots."""
        if "items" in self.ready:
            self.ready["seen"] = self.ready["items"]
        for group in self.config.candidate_inputs if "candidates" in self.ready else ():
            beside = self._column(self.ready["candidates"], 2), self.ready[group.name]
            self.ready["candidates"] = self.nodes.add("Concat", *beside, axis=2)
        if "items" in self.ready and self.config.longer_histories == "newest":
            names = ("items", *(group.name for group in self.config.inputs if group.per_event))
            self._cut_to_newest(names, self.config.max_length, trimmed=trimmed)
        for sequence in self.config.sequences:
            if sequence.name in self.ready and sequence.longer_histories == "newest":
                self._cut_to_newest((sequence.name,), sequence.max_length, trimmed=trimmed)
        for inner in self.graph.inputs:
            value = self.ready[str(inner.name)]
            if value.shape is None:
                value.shape, value.type = inner.shape, inner.type
            ir.convenience.replace_all_uses_with(inner, value)
        self.graph.insert_before(self.graph[0], self.nodes.take())

    def _cut_to_newest(self, names: tuple[str, ...], length: int, *, trimmed: bool) -> None:
        """Cut inputs of events, the items first. A model that reads the oldest picks them out by itself."""
        start = self.nodes.constant("newest" if names[0] == "items" else f"newest_{names[0]}", [-length])
        cut = {name: self.nodes.add("Slice", self.ready[name], start, self.end, self.axis) for name in names}
        if trimmed:
            first_real = self._first_real(cut[names[0]])
            cut = {name: self.nodes.add("Slice", value, first_real, self.end, self.axis) for name, value in cut.items()}
        self.ready |= cut

    def _first_real(self, items: ir.Value) -> ir.Value:
        """Return the first slot that is not padding in every row, int64 `[1]`; 0 where there is none."""
        padding = self.nodes.constant("padding", [0])
        if self.config.unknown_row:  # indices out of range, negative ones too, are unknown items that keep their place
            there = self.nodes.add("Not", self.nodes.add("Equal", items, padding))
        else:
            there = self.nodes.add("Greater", items, padding)
        real = self.nodes.add("Cast", there, to=ir.DataType.FLOAT)
        # A sum, where the largest would do: symbolic shape inference of ONNX Runtime knows no ReduceMax.
        rows = self.nodes.add("ReduceSum", real, self.nodes.constant("axis_0", [0]), keepdims=0)
        some = self.nodes.add("Greater", rows, self.nodes.constant("no_rows", np.zeros(1, dtype=np.float32)))
        # ArgMax returns the first of equal values.
        return self.nodes.add("ArgMax", self.nodes.add("Cast", some, to=ir.DataType.FLOAT), axis=0, keepdims=1)

    def replace_outputs(self, signature: Signature, k: ir.Value | None, top_k: TopK) -> None:
        """Write the outputs of the signature: raw ids for indices, and the first k of them."""
        count = None
        if k is not None:
            least, most = self.nodes.constant("k_least", [1]), self.nodes.constant("k_most", [top_k.limit])
            count = self.nodes.add("Min", self.nodes.add("Max", k, least), most)
        outputs = list(self.graph.outputs)
        for place, spec in enumerate(signature.outputs):
            value = outputs[place]
            if count is not None:
                value = self.nodes.add("Slice", value, self.nodes.constant("start", [0]), count, self.axis)
            if spec.name == "item_ids":
                # Row 0 is padding, so that an index is a row.
                table = self.nodes.constant("item_ids_by_index", self._raw_table())
                value = self.nodes.add("Gather", table, value, axis=0)
            outer = _value(spec)
            self.nodes.written.append(ir.node("Identity", [value], outputs=[outer], name=f"bst/{spec.name}"))
            self.graph.outputs[place] = outer
        self.graph.extend(self.nodes.take())

    def _encode(self, value: ir.Value, vocabulary: Vocabulary, unknown: int = 0) -> ir.Value:
        keys = {"int64": "keys_int64s", "string": "keys_strings"}[vocabulary.dtype]
        ids, indices = vocabulary.ids.to_list(), list(range(1, len(vocabulary) + 1))
        if unknown:  # padding is none of the others then
            ids, indices = [vocabulary.padding, *ids], [0, *indices]
        attributes = {keys: ids, "values_int64s": indices, "default_int64": unknown}
        return self.nodes.add("LabelEncoder", value, domain="ai.onnx.ml", **attributes)

    def _raw_table(self) -> ir.TensorProtocol:
        items = self.vocabularies.items
        if items.dtype == "int64":
            return ir.tensor(np.concatenate([np.array([items.padding]), items.ids.to_numpy()]))
        texts = [str(items.padding), *items.ids.to_list()]
        return ir.StringTensor([text.encode() for text in texts], shape=ir.Shape([len(texts)]))


def _forget_the_exporter(graph: ir.Graph) -> None:
    """Drop stack traces and paths of the machine that exported."""
    for holder in (graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        holder.metadata_props.clear()


def _value(spec: TensorSpec) -> ir.Value:
    return ir.Value(name=spec.name, type=ir.TensorType(DTYPES[spec.dtype]), shape=ir.Shape(spec.shape))
