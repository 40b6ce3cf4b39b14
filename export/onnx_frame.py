"""What stands around an index-level ONNX graph: the cut to the newest items, and raw ids in and out.

Ids are looked up by `ai.onnx.ml` LabelEncoder, and given back by a Gather from a table. All names made here or by torch
hold a slash, so that none can collide with an input: a context feature is an identifier.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from bst.vocabulary import Vocabularies, Vocabulary
from export.signatures import Dtype, Signature, TensorSpec

ML_OPSET = 3  # LabelEncoder with int64 and string keys
DTYPES: dict[Dtype, ir.DataType] = {
    "int64": ir.DataType.INT64,
    "float32": ir.DataType.FLOAT,
    "string": ir.DataType.STRING,
}


def put_frame(model: ir.Model, signature: Signature, max_length: int, vocabularies: Vocabularies) -> None:
    """Replace the inputs `items` and `context` and the outputs of `model` by those of `signature`, in place."""
    frame = _Frame(model.graph)
    frame.replace_inputs(signature, max_length, vocabularies)
    frame.replace_outputs(signature, vocabularies.items)
    model.opset_imports["ai.onnx.ml"] = ML_OPSET
    model.producer_name, model.producer_version = "bst", None
    model.metadata_props["bst.signature"] = signature.model_dump_json()
    _forget_the_exporter(model.graph)


class _Frame:
    """A graph with its inner inputs, and the nodes that go in front of it."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.before: list[ir.Node] = []
        for value in [*graph.initializers.values(), *(output for node in graph for output in node.outputs)]:
            value.name = f"model/{value.name}"
        self.axis = self._constant("axis_1", ir.tensor([1]))

    def replace_inputs(self, signature: Signature, max_length: int, vocabularies: Vocabularies) -> None:
        inner_items, *inner_context = self.graph.inputs
        items, *context = outer = [_value(spec) for spec in signature.inputs]
        raw = signature.inputs[0].name == "history"
        indices = self._lookup(items, vocabularies.items) if raw else items
        start, end = self._constant("newest", ir.tensor([-max_length])), self._constant("end", ir.tensor([2**63 - 1]))
        newest = self._add("Slice", [indices, start, end, self.axis])
        newest.shape, newest.type = inner_items.shape, inner_items.type
        ir.convenience.replace_all_uses_with(inner_items, newest)
        if raw and context:
            found = (self._lookup(value, vocabularies.context[str(value.name)]) for value in context)
            columns = [self._add("Unsqueeze", [indices, self.axis]) for indices in found]
            ir.convenience.replace_all_uses_with(inner_context[0], self._add("Concat", columns, axis=1))
        elif context:
            ir.convenience.replace_all_uses_with(inner_context[0], context[0])
        self.graph.insert_before(self.graph[0], self.before)
        self.graph.inputs[:] = outer

    def replace_outputs(self, signature: Signature, items: Vocabulary) -> None:
        for place, spec in enumerate(signature.outputs):
            inner, outer = self.graph.outputs[place], _value(spec)
            if spec.name == "item_ids":
                # Row 0 stands for padding, so that an index is a row.
                inputs = [self._constant("item_ids_by_index", _raw_table(items)), inner]
                node = ir.node("Gather", inputs, {"axis": 0}, outputs=[outer], name=f"bst/{spec.name}")
            else:
                node = ir.node("Identity", [inner], outputs=[outer], name=f"bst/{spec.name}")
            self.graph.append(node)
            self.graph.outputs[place] = outer

    def _lookup(self, value: ir.Value, vocabulary: Vocabulary) -> ir.Value:
        keys = {"int64": "keys_int64s", "string": "keys_strings"}[vocabulary.dtype]
        indices = list(range(1, len(vocabulary) + 1))
        attributes = {keys: vocabulary.ids.to_list(), "values_int64s": indices, "default_int64": 0}
        return self._add("LabelEncoder", [value], "ai.onnx.ml", **attributes)

    def _add(self, op: str, inputs: list[ir.Value], domain: str = "", **attributes: Any) -> ir.Value:
        name = f"bst/{op}_{len(self.before)}"
        node = ir.node(op, inputs, attributes, domain=domain, name=name)
        node.outputs[0].name = name
        self.before.append(node)
        return node.outputs[0]

    def _constant(self, name: str, tensor: ir.TensorProtocol) -> ir.Value:
        value = ir.Value(name=f"bst/{name}", const_value=tensor, type=ir.TensorType(tensor.dtype))
        value.shape = ir.Shape(tensor.numpy().shape)
        self.graph.register_initializer(value)
        return value


def _forget_the_exporter(graph: ir.Graph) -> None:
    """Drop stack traces and paths of the machine that exported."""
    for holder in (graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        holder.metadata_props.clear()


def _raw_table(vocabulary: Vocabulary) -> ir.TensorProtocol:
    values = [vocabulary.padding, *vocabulary.ids.to_list()]
    if vocabulary.dtype == "int64":
        return ir.tensor(np.array(values, dtype=np.int64))
    return ir.StringTensor([str(value).encode() for value in values], shape=ir.Shape([len(values)]))


def _value(spec: TensorSpec) -> ir.Value:
    return ir.Value(name=spec.name, type=ir.TensorType(DTYPES[spec.dtype]), shape=ir.Shape(spec.shape))
