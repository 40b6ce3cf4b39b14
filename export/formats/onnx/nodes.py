"""A writer of ONNX nodes, one after another, each with a name that shows where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike


class Nodes:
    """New nodes to be put into `graph`, in order. Constants go to `graph` at once, as initializers, each once."""

    def __init__(self, graph: ir.Graph, prefix: str) -> None:
        self.graph, self.prefix = graph, prefix
        self.written: list[ir.Node] = []
        self.own: list[ir.Value] = []  # constants of the current branch
        self.count = 0

    def add(self, op: str, *inputs: ir.Value, domain: str = "", **attributes: Any) -> ir.Value:
        """Write a node with one output, and return the output."""
        return self.add_with(op, 1, *inputs, domain=domain, **attributes)[0]

    def add_with(self, op: str, outputs: int, *inputs: ir.Value, domain: str = "", **attributes: Any) -> list[ir.Value]:
        """Write a node with several outputs, and return them."""
        node = ir.node(op, inputs, attributes, domain=domain, num_outputs=outputs)
        self.count += 1
        node.name = f"{self.prefix}/{op}_{self.count}"
        for place, value in enumerate(node.outputs):
            value.name = f"{node.name}_{place}" if place else node.name
        self.written.append(node)
        return list(node.outputs)

    def constant(self, name: str, values: ArrayLike | ir.TensorProtocol, *, own: bool = False) -> ir.Value:
        """Return a constant by name; the first one of a name stays.

        Args:
            own: register it in the current branch, not in the whole graph.
        """
        name = f"{self.prefix}/{name}"
        if present := self.graph.initializers.get(name):
            return present
        tensor = values if isinstance(values, ir.TensorProtocol) else ir.tensor(np.asarray(values))
        value = ir.Value(name=name, const_value=tensor, type=ir.TensorType(tensor.dtype))
        value.shape = ir.Shape(tensor.numpy().shape)
        if own:
            self.own.append(value)
        else:
            self.graph.register_initializer(value)
        return value

    def choose(
        self, condition: ir.Value, then: Callable[[], list[ir.Value]], otherwise: Callable[[], list[ir.Value]]
    ) -> list[ir.Value]:
        """Write an If: of the two branches, only the one that the bool `condition` selects is computed.

        What each of them writes goes into a branch; it may use everything written before.
        """
        graphs: dict[str, Any] = {}
        for name, branch in (("then_branch", then), ("else_branch", otherwise)):
            outside = self.written, self.own
            self.written, self.own = [], []
            # A branch must return values of its own, not values from outside.
            outputs = [self.add("Identity", value) for value in branch()]
            whole_name = f"{self.prefix}/{name}_{self.count}"
            graphs[name] = ir.Graph([], outputs, nodes=self.written, initializers=self.own, name=whole_name)
            self.written, self.own = outside
        return self.add_with("If", len(outputs), condition, **graphs)

    def repeat(self, count: ir.Value, body: Callable[[ir.Value], list[ir.Value]], *, outputs: int) -> list[ir.Value]:
        """Write a Loop that computes `body` of 0, 1, ... `count` - 1, and stacks the results in that order."""
        number = ir.Value(name=f"{self.prefix}/number", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
        going = ir.Value(name=f"{self.prefix}/going", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([]))
        outside, self.written = self.written, []
        results = [self.add("Identity", value) for value in (going, *body(number))]
        graph = ir.Graph([number, going], results, nodes=self.written, name=f"{self.prefix}/body_{self.count}")
        self.written = outside
        always = self.constant("always", np.array(True))
        return self.add_with("Loop", outputs, count, always, body=graph)

    def take(self) -> list[ir.Node]:
        """Return the nodes written since the last call, to be put into the graph."""
        written, self.written = self.written, []
        return written
