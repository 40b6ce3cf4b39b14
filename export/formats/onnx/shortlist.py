"""`top_k` as a graph that reads a compact copy of the output layer, and only the needed rows of the layer itself.

Bounds of all scores (`export.shortlist.bounds`) give a shortlist; its rows are scored exactly. Other items whose bound
reaches the k-th best of these scores are scored as well; if they are half the catalogue, all items are. The result is
always the k best of the exact scores; the cost depends on the user. The operators are standard ones, which ONNX Runtime
fuses by itself: DequantizeLinear of blocks and MatMul to MatMulNBits, fastest for one row, and MatMulInteger with the
operators around it to MatMulIntegerToFloat, fastest for many.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from export.formats.onnx.nodes import Nodes
from export.shortlist.bounds import TINY, USER_LEVELS, Scan
from export.shortlist.choice import Shortlist

BLOCKS_OPSET = 21  # DequantizeLinear of blocks
TILE = 64  # neighbouring items whose highest bound is compared first
NO_ITEM = (
    -3e38
)  # bound of the padding of the last tile: below all others, and finite, so that it stays below with slack


def put_shortlist(
    model: ir.Model,
    plan: Shortlist,
    output_layer: tuple[ir.TensorProtocol, ir.TensorProtocol],
    *,
    first_row: int,
    num_items: int,
    limit: int,
    exclude_history: bool,
    opset: int,
) -> None:
    """Turn the index-level graph of `encode_user` into that of `top_k`, in place.

    Args:
        output_layer: weights `[first_row + num_items, U]` and biases of as many.
    """
    graph = model.graph
    writer = _TopK(graph, plan, output_layer, first_row, num_items, limit)
    seen = None
    if exclude_history:
        seen = ir.Value(name="seen", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(["batch", "length"]))
        graph.inputs.append(seen)
    outputs = writer.write(graph.outputs[0], seen, blocks=opset >= BLOCKS_OPSET)
    graph.extend(writer.nodes.take())
    graph.outputs[:] = outputs


class _TopK:
    """The writer of the nodes. Shape letters: B batch, F rows whose shortlist was not enough, V items, U user width."""

    def __init__(
        self,
        graph: ir.Graph,
        plan: Shortlist,
        output_layer: tuple[ir.TensorProtocol, ir.TensorProtocol],
        first_row: int,
        num_items: int,
        limit: int,
    ) -> None:
        self.nodes = Nodes(graph, "shortlist")
        self.plan, self.first_row, self.num_items, self.limit = plan, first_row, num_items, limit
        constant = self.nodes.constant
        self.weights, self.biases = constant("weights", output_layer[0]), constant("biases", output_layer[1])
        self.limit_1, self.num_tiles = constant("limit", [limit]), -(-num_items // TILE)
        self.zero, self.one = constant("0", [0]), constant("1", [1])

    def write(self, vectors: ir.Value, seen: ir.Value | None, *, blocks: bool) -> list[ir.Value]:
        """Write from user vectors `[B, U]` and seen indices `[B, L]`: indices int64 `[B, limit]`, scores `[B,
        limit]`.
        """
        plan = self.plan
        rows = self.nodes.add("Shape", vectors, start=0, end=1)
        is_few = self.nodes.add("LessOrEqual", rows, self.nodes.constant("few_rows", [plan.few_rows]))

        def few() -> list[ir.Value]:
            bounds, slack = self._bounds(plan.few, "few", vectors, blocks=blocks)
            return self._shortlisted(bounds, slack, plan.first, vectors, seen)

        def many() -> list[ir.Value]:
            if plan.many is None:
                return self._of_all(self._scores(vectors), seen)
            bounds, slack = self._bounds(plan.many, "many", vectors, blocks=False)
            return self._shortlisted(bounds, slack, plan.many_first, vectors, seen)

        return self.nodes.choose(self.nodes.add("Squeeze", is_few), few, many)

    def _shortlisted(
        self, bounds: ir.Value, slack: ir.Value, first: int, vectors: ir.Value, seen: ir.Value | None
    ) -> list[ir.Value]:
        """Score `first` items of the highest bounds, and then all others that these leave possible."""
        add, constant = self.nodes.add, self.nodes.constant
        if self.num_tiles <= 2 * first:
            tiled = None
            highest, items = self.nodes.add_with("TopK", 2, bounds, constant(f"first_{first}", [first]))
        else:
            tiled = self._tiles(bounds)
            highest, items = self._highest(*tiled, first)
        items = add("Min", items, constant("last_item", np.int64(self.num_items - 1)))  # a row of NaN may give any
        # In the order of the catalogue: of equal scores the lower index comes first, and memory is read forwards.
        items, _ = self.nodes.add_with("TopK", 2, items, constant(f"first_{first}", [first]), largest=0)
        indices, best = self._best(items, self._exact(vectors, items), seen)
        least = add("Gather", best, constant("last", [self.limit - 1]), axis=1)  # [B, 1]
        rest = add("Gather", highest, constant(f"last_of_{first}", [first - 1]), axis=1)
        # Written so that a NaN anywhere leaves the row open.
        is_open = add("Not", add("Less", add("Add", rest, slack), least))
        any_open = add("ReduceMax", add("Cast", is_open, to=ir.DataType.INT32), keepdims=0)
        return self.nodes.choose(
            add("Cast", any_open, to=ir.DataType.BOOL),
            lambda: self._widened(
                is_open, *(tiled or self._tiles(bounds)), add("Sub", least, slack), vectors, seen, indices, best
            ),
            lambda: [indices, best],
        )

    def _tiles(self, bounds: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Return the bounds by tiles `[B, tiles, TILE]`, and the highest of each `[B, tiles]`."""
        tiles = self.nodes.add("Reshape", bounds, self.nodes.constant("tiled", [-1, self.num_tiles, TILE]))
        return tiles, self.nodes.add("ReduceMax", tiles, self.nodes.constant("2", [2]), keepdims=0)

    def _highest(self, tiles: ir.Value, tops: ir.Value, first: int) -> tuple[ir.Value, ir.Value]:
        """Return the `first` highest bounds with their items, both `[B, first]`."""
        add, constant = self.nodes.add, self.nodes.constant
        size = constant(f"first_{first}", [first])
        # The highest bounds are in the `first` tiles with the highest tops.
        _, picked = self.nodes.add_with("TopK", 2, tops, size)
        some = add("GatherND", tiles, add("Unsqueeze", picked, constant("2", [2])), batch_dims=1)  # [B, first, TILE]
        some = add("Reshape", some, constant(f"flat_{first}", [-1, first * TILE]))
        highest, places = self.nodes.add_with("TopK", 2, some, size)
        tile = constant("tile", np.int64(TILE))
        start = add("Mul", add("GatherElements", picked, add("Div", places, tile), axis=1), tile)
        return highest, add("Add", start, add("Mod", places, tile))

    def _bounds(self, scan: Scan, name: str, vectors: ir.Value, *, blocks: bool) -> tuple[ir.Value, ir.Value]:
        """Return the bounds `[B, V]`, the last tile filled up, and slack `[B, 1]`; see `Scan.bounds`."""
        add, constant = self.nodes.add, self.nodes.constant
        # Integers have one step for all rows, blocks one for each.
        axes = [self.one] if blocks else []
        coordinates, norm = self._user_coordinates(scan, name, vectors, axes)
        peak = self._peak(coordinates, axes)
        slack = add("Mul", norm, constant(f"{name}/of_norm", np.float32(scan.slack_of_norm)))
        slack = add("Add", slack, add("Mul", peak, constant(f"{name}/of_peak", np.float32(scan.slack_of_peak))))
        slack = add("Add", slack, constant(f"{name}/slack", np.float32(scan.slack)))
        room = self.num_tiles * TILE - self.num_items
        table, steps = np.pad(scan.table, ((0, 0), (0, room))), np.pad(scan.steps, (0, room), constant_values=1)
        if blocks:
            steps = np.broadcast_to(steps, (scan.coordinates // scan.block, len(steps)))
            # ONNX Runtime fuses only constants of the branch itself, and does not load the file otherwise.
            parts = (("table", table), ("steps", steps))
            own = [constant(f"{name}/blocks/{what}", part, own=True) for what, part in parts]
            product = add("MatMul", coordinates, add("DequantizeLinear", *own, axis=0, block_size=scan.block))
        else:
            step = add("Div", add("Squeeze", peak), constant("levels", np.float32(USER_LEVELS)))
            step = add("Max", step, constant("tiny", np.float32(TINY)))
            middle = constant("middle", np.uint8(128))
            rounded = add("QuantizeLinear", coordinates, step, middle)
            product = add("MatMulInteger", rounded, constant(f"{name}/table", table), middle)
            product = add("Cast", product, to=ir.DataType.FLOAT)
            product = add("Mul", product, add("Mul", step, constant(f"{name}/steps", steps)))
        biases = np.pad(scan.biases, (0, room), constant_values=NO_ITEM)
        return add("Add", product, constant(f"{name}/biases", biases)), slack

    def _user_coordinates(
        self, scan: Scan, name: str, vectors: ir.Value, axes: list[ir.Value]
    ) -> tuple[ir.Value, ir.Value]:
        """Return the factors of the table `[B, K]`, see `Scan.user_coordinates`, and the norm of d `[B, 1]`."""
        add = self.nodes.add

        def constant(what: str, values: object) -> ir.Value:
            return self.nodes.constant(f"{name}/{what}", np.asarray(values, dtype=np.float32))

        moved = add("Sub", vectors, constant("centre", scan.centre))
        norm = add("ReduceL2", moved, self.one)
        projected, rests = moved, []
        if scan.projection is not None:
            projected = add("MatMul", moved, constant("projection", scan.projection))
            squares = add("Mul", norm, norm)
            rest = add("Relu", add("Sub", squares, add("ReduceSumSquare", projected, self.one)))
            rest = add("Sqrt", add("Add", rest, add("Mul", squares, constant("lost", scan.lost))))
            rests = [add("Mul", rest, constant("rest_weights", scan.rest_weights))]
        spread = add("Mul" if scan.spread.ndim == 1 else "MatMul", projected, constant("spread", scan.spread))
        peak = self._peak(add("Concat", spread, *rests, axis=1) if rests else spread, axes)
        errors = add("Add", add("ReduceL2", spread, self.one), add("Mul", peak, constant("peak", scan.peak_weight)))
        errors = add("Mul", errors, constant("error_weights", scan.error_weights))
        last = add("Add", *rests, errors) if rests else errors
        return add("Concat", spread, last, axis=1), norm

    def _peak(self, values: ir.Value, axes: list[ir.Value]) -> ir.Value:
        return self.nodes.add("ReduceMax", self.nodes.add("Abs", values), *axes)

    def _exact(self, vectors: ir.Value, items: ir.Value) -> ir.Value:
        """Return the scores `[B, n]` of items `[B, n]`."""
        add = self.nodes.add
        if self.first_row:
            items = add("Add", items, self.nodes.constant("first_row", np.int64(self.first_row)))
        two = self.nodes.constant("2", [2])
        product = add("MatMul", add("Gather", self.weights, items), add("Unsqueeze", vectors, two))
        return add("Add", add("Squeeze", product, two), add("Gather", self.biases, items))

    def _best(self, items: ir.Value, scores: ir.Value, seen: ir.Value | None) -> list[ir.Value]:
        """Return the best of items `[B, n]` with their scores: indices and scores `[B, limit]`."""
        add, constant = self.nodes.add, self.nodes.constant
        indices = add("Add", items, constant("index_of_first", np.int64(1)))
        nothing = None if seen is None else constant("nothing", np.float32(-np.inf))
        if seen is not None and nothing is not None:
            same = add("Equal", add("Unsqueeze", indices, constant("2", [2])), add("Unsqueeze", seen, self.one))
            is_seen = add("ReduceMax", add("Cast", same, to=ir.DataType.INT32), constant("2", [2]), keepdims=0)
            scores = add("Where", add("Cast", is_seen, to=ir.DataType.BOOL), nothing, scores)
        best, places = self.nodes.add_with("TopK", 2, scores, self.limit_1)
        chosen = add("GatherElements", indices, places, axis=1)
        if nothing is not None:
            chosen = add("Where", add("Equal", best, nothing), constant("none", np.int64(0)), chosen)
        return [chosen, best]

    def _widened(
        self,
        is_open: ir.Value,
        tiles: ir.Value,
        tops: ir.Value,
        least: ir.Value,
        vectors: ir.Value,
        seen: ir.Value | None,
        indices: ir.Value,
        best: ir.Value,
    ) -> list[ir.Value]:
        """Compute the open rows anew, one by one, from all items whose bounds are not below `least` `[B, 1]`."""
        add = self.nodes.add
        rows = add("Transpose", add("NonZero", add("Squeeze", is_open, self.one)), perm=[1, 0])  # [F, 1]

        def row_of(number: ir.Value) -> list[ir.Value]:
            row = add("Gather", rows, number, axis=0)  # [1]
            vector = add("Gather", vectors, row)  # [1, U]
            row_seen = None if seen is None else add("Gather", seen, row)
            items = self._possible(*(add("Gather", part, row) for part in (tiles, tops, least)))  # [1, n]
            half = self.nodes.constant("half", [self.num_items // 2])
            is_most = add("Greater", add("Shape", items, start=1, end=2), half)
            answer = self.nodes.choose(
                add("Squeeze", is_most),
                lambda: self._of_all(self._scores_of_one(vector), row_seen),
                lambda: self._best(items, self._exact(vector, items), row_seen),
            )
            return [add("Squeeze", part, self.zero) for part in answer]

        count = add("Squeeze", add("Shape", rows, start=0, end=1), self.zero)
        new_indices, new_best = self.nodes.repeat(count, row_of, outputs=2)
        return [add("ScatterND", indices, rows, new_indices), add("ScatterND", best, rows, new_best)]

    def _possible(self, tiles: ir.Value, tops: ir.Value, least: ir.Value) -> ir.Value:
        """Return the items `[1, n]` whose bounds are not below `least` `[1, 1]`, in order; those of NaN are among
        them.
        """
        add = self.nodes.add
        picked = add("Gather", add("NonZero", add("Not", add("Less", tops, least))), self.one)  # [1, m]
        some = add("Gather", add("Squeeze", tiles, self.zero), add("Squeeze", picked, self.zero))  # [m, TILE]
        places = add("NonZero", add("Not", add("Less", some, least)))  # [2, n]
        start = add("Gather", picked, add("Squeeze", add("Gather", places, self.zero), self.zero), axis=1)
        tile = self.nodes.constant("tile", np.int64(TILE))
        return add("Add", add("Mul", start, tile), add("Gather", places, self.one))

    def _scores(self, vectors: ir.Value) -> ir.Value:
        """Return the scores of the whole catalogue `[B, V]`."""
        return self._items_of(self.nodes.add("Gemm", vectors, self.weights, self.biases, transB=1))

    def _scores_of_one(self, vector: ir.Value) -> ir.Value:
        """Return the scores of the whole catalogue `[1, V]` for one user `[1, U]`."""
        # The weights are on the left, where no runtime makes a second copy of them in another order.
        product = self.nodes.add("MatMul", self.weights, self.nodes.add("Transpose", vector, perm=[1, 0]))
        return self._items_of(self.nodes.add("Add", self.nodes.add("Transpose", product, perm=[1, 0]), self.biases))

    def _items_of(self, scores: ir.Value) -> ir.Value:
        if not self.first_row:
            return scores
        start, end = self.nodes.constant("first_item", [self.first_row]), self.nodes.constant("end", [2**63 - 1])
        return self.nodes.add("Slice", scores, start, end, self.one)

    def _of_all(self, scores: ir.Value, seen: ir.Value | None) -> list[ir.Value]:
        """Return the best by scores of the whole catalogue."""
        size = self.limit_1
        if seen is not None:  # so many, because the seen ones are dropped
            size = self.nodes.add("Add", size, self.nodes.add("Shape", seen, start=1, end=2))
            size = self.nodes.add("Min", size, self.nodes.constant("items", [self.num_items]))
        best, items = self.nodes.add_with("TopK", 2, scores, size)
        return self._best(items, best, seen)
