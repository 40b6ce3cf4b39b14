"""Candidates of a click model in blocks: memory does not grow with their number, and what a block needs stays cached.

Measured at the sizes of torch-rechub (dim 64, feed-forward 2,048): a process that scored 10,000 candidates at once had
741 MB, one that scores them in blocks has 335 (docs/results/clicks.md).
"""

from __future__ import annotations

import onnx_ir as ir

from export.formats.onnx.nodes import Nodes

CANDIDATES = "candidates"
PREFIX = "candidates"


def put_in_blocks(model: ir.Model, block: int) -> None:
    """Move all that depends on the input `candidates`, `[batch, n]` or `[batch, n, any]`, into a Loop over blocks of
    about `block` rows of all users together. Blocks are of one size: n divided by their number, rounded up.

    The outputs, `[batch, n]` all, keep their order.
    """
    graph = model.graph
    candidates = next(value for value in graph.inputs if value.name == CANDIDATES)
    dependent = _dependent(graph, candidates)
    outputs = list(graph.outputs)
    nodes = Nodes(graph, PREFIX)
    add, constant = nodes.add, nodes.constant
    zero, unit, axis = constant("0", [0]), constant("1", [1]), constant("axis_1", [1])
    number, batch = add("Shape", candidates, start=1, end=2), add("Shape", candidates, start=0, end=1)
    per_block = constant("rows", [block])
    blocks = add("Min", _divided(nodes, add("Mul", number, batch), per_block, unit), number)
    size = _divided(nodes, number, blocks, unit)
    missing = add("Sub", add("Mul", size, blocks), number)
    others = [0] * (len(candidates.shape or ()) - 2)  # axes behind that of candidates
    before, behind = constant("no_padding", [0, 0, *others, 0]), [constant("none_behind", others)] if others else []
    padded = add("Pad", candidates, add("Concat", before, missing, *behind, axis=0))

    def body(place: ir.Value) -> list[ir.Value]:
        start = add("Mul", add("Reshape", place, unit), size)
        rows = add("Slice", padded, start, add("Add", start, size), axis)
        for node in dependent:
            for position, value in enumerate(node.inputs):
                if value is candidates:
                    node.replace_input_with(position, rows)
            for value in node.outputs:
                value.name = f"block/{value.name}"
        graph.remove(dependent)
        nodes.written += dependent
        return outputs

    stacked = nodes.repeat(add("Squeeze", blocks, zero), body, outputs=len(outputs))  # each [blocks, batch, size]
    for place, value in enumerate(stacked):
        joined = add("Reshape", add("Transpose", value, perm=[1, 0, 2]), constant("joined", [0, -1]))
        graph.outputs[place] = add("Slice", joined, zero, number, axis)
    graph.extend(nodes.take())


def _divided(nodes: Nodes, dividend: ir.Value, divisor: ir.Value, unit: ir.Value) -> ir.Value:
    """Write a division of whole numbers that rounds up."""
    return nodes.add("Div", nodes.add("Sub", nodes.add("Add", dividend, divisor), unit), divisor)


def _dependent(graph: ir.Graph, start: ir.Value) -> list[ir.Node]:
    """List the nodes that need a value, in the order of the graph."""
    needed = {start}
    dependent: list[ir.Node] = []
    for node in graph:
        if needed & set(node.inputs):
            dependent.append(node)
            needed |= set(node.outputs)
    return dependent
