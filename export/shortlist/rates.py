"""The rates of a core on which the choice of a shortlist rests, measured where the export runs.

Each is measured with the operator of ONNX Runtime that a bundle's `top_k` uses. Another choice changes no answer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from export.contract.choices import Rates
from export.contract.inputs import Array
from export.shortlist.bounds import BLOCK

SECONDS = 0.15  # of each operator
WIDTH = 128  # of the tables that are measured with
ROWS = 32  # of a call of many rows
SMALL, IN_CACHE, BEYOND_CACHE = 2**19, 2**22, 2**26  # bytes of a table
ITEMS, GATHERED = 65_536, 512
TILE, PICKED = 32, 64
OPSET, IR_VERSION = 21, 10


@dataclass(frozen=True)
class _Graph:
    """Operators over constant tables, with the inputs of a call; one gives the output `y`, of type `gives`."""

    nodes: Sequence[onnx.NodeProto]
    tables: Mapping[str, Array]
    inputs: Mapping[str, Array]
    gives: int = TensorProto.FLOAT

    def seconds(self) -> float:
        """Return the fastest call of many in this process, by one thread: the cost without disturbance."""
        inputs = [helper.make_tensor_value_info(name, _kind(value), value.shape) for name, value in self.inputs.items()]
        output = helper.make_tensor_value_info("y", self.gives, None)
        tables = [numpy_helper.from_array(array, name) for name, array in self.tables.items()]
        graph = helper.make_graph(list(self.nodes), "rate", inputs, [output], tables)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        best, until = float("inf"), time.perf_counter() + SECONDS
        while time.perf_counter() < until:
            started = time.perf_counter()
            session.run(None, dict(self.inputs))
            best = min(best, time.perf_counter() - started)
        return best


def measure_rates() -> Rates:
    """Measure on this machine, in this process; takes a few seconds and 300 MB.

    The cache's size and the overheads stay those of the table.
    """
    per_us = 1e6
    picks = {rows: _picks(rows).seconds() * per_us / (rows * ITEMS) for rows in (1, ROWS)}
    gathers = {rows: 4 * WIDTH * GATHERED * rows / (_gathers(rows).seconds() * per_us) for rows in (1, ROWS)}
    items = IN_CACHE // (4 * WIDTH)
    products = WIDTH * ROWS * items
    return Rates(
        cached_bytes=IN_CACHE / (_product(IN_CACHE, 1).seconds() * per_us),
        streamed_bytes=BEYOND_CACHE / (_product(BEYOND_CACHE, 1).seconds() * per_us),
        streamed_table_bytes=BEYOND_CACHE / (_blocks(BEYOND_CACHE).seconds() * per_us),
        small_bytes=SMALL / (_product(SMALL, 1).seconds() * per_us),
        float_products=products / (_product(IN_CACHE, ROWS).seconds() * per_us),
        integer_products=products / (_integers(items).seconds() * per_us),
        gathered_bytes=gathers[1],
        gathered_bytes_many=gathers[ROWS],
        pick=picks[1],
        pick_many=picks[ROWS],
    )


def _product(table_bytes: int, rows: int) -> _Graph:
    table = np.ones((WIDTH, table_bytes // (4 * WIDTH)), dtype=np.float32)
    vectors = np.ones((rows, WIDTH), dtype=np.float32)
    return _Graph([helper.make_node("MatMul", ["x", "table"], ["y"])], {"table": table}, {"x": vectors})


def _blocks(table_bytes: int) -> _Graph:
    items = table_bytes // WIDTH
    tables: dict[str, Array] = {
        "table": np.ones((WIDTH, items), dtype=np.int8),
        "steps": np.ones((WIDTH // BLOCK, items), dtype=np.float32),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["table", "steps"], ["floats"], axis=0, block_size=BLOCK),
        helper.make_node("MatMul", ["x", "floats"], ["y"]),
    ]
    return _Graph(nodes, tables, {"x": np.ones((1, WIDTH), dtype=np.float32)})


def _integers(items: int) -> _Graph:
    table, middle = np.ones((WIDTH, items), dtype=np.int8), np.array(128, dtype=np.uint8)
    node = helper.make_node("MatMulInteger", ["x", "table", "middle"], ["y"])
    inputs = {"x": np.ones((ROWS, WIDTH), dtype=np.uint8)}
    return _Graph([node], {"table": table, "middle": middle}, inputs, TensorProto.INT32)


def _gathers(rows: int) -> _Graph:
    table = np.ones((BEYOND_CACHE // (4 * WIDTH), WIDTH), dtype=np.float32)
    picked = np.sort(np.random.default_rng(0).integers(0, len(table), (rows, GATHERED)), axis=1)
    nodes = [
        helper.make_node("Gather", ["table", "items"], ["rows"]),
        helper.make_node("MatMul", ["rows", "x"], ["y"]),
    ]
    return _Graph(nodes, {"table": table}, {"items": picked, "x": np.ones((rows, WIDTH, 1), dtype=np.float32)})


def _picks(rows: int) -> _Graph:
    tables = {"two": np.array([2]), "k": np.array([PICKED])}
    nodes = [
        helper.make_node("ReduceMax", ["x", "two"], ["tops"], keepdims=0),
        helper.make_node("TopK", ["tops", "k"], ["values", "y"]),
    ]
    scores = np.random.default_rng(0).random((rows, ITEMS // TILE, TILE), dtype=np.float32)
    return _Graph(nodes, tables, {"x": scores}, TensorProto.INT64)


def _kind(array: Array) -> int:
    kinds = {np.float32: TensorProto.FLOAT, np.uint8: TensorProto.UINT8, np.int64: TensorProto.INT64}
    return int(kinds[array.dtype.type])
