"""`top_k` by a shortlist gives the best of all items, whatever the weights are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from numpy.typing import NDArray

from export import ExportSettings, TopK, export_bundle
from export.formats.onnx.shortlist import put_shortlist
from export.shortlist.bounds import Floats, Scan, make_scan
from export.shortlist.choice import Shortlist

ITEMS, WIDTH, LIMIT = 700, 48, 10


def layer(kind: str) -> tuple[Floats, Floats]:
    """Weights and biases of an output layer of `ITEMS`."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((ITEMS, WIDTH)) * np.geomspace(1, 0.05, WIDTH)
    biases = rng.standard_normal(ITEMS)
    if kind == "near ties":
        weights = weights[:1] + 1e-6 * rng.standard_normal((ITEMS, WIDTH))
        biases *= 1e-6
    elif kind == "one huge row":
        weights[123] *= 1e4
    elif kind == "constant rows":
        weights, biases = np.ones_like(weights), np.zeros_like(biases)
    elif kind == "equal pairs":
        weights[1::2], biases[1::2] = weights[::2], biases[::2]
    elif kind == "zero rows":
        weights[::3], biases[::3] = 0, 0
    elif kind == "one coordinate a row":
        weights = np.eye(WIDTH)[rng.integers(0, WIDTH, ITEMS)] * rng.standard_normal((ITEMS, 1))
    elif kind == "large biases":
        biases *= 1e5
    return weights.astype(np.float32), biases.astype(np.float32)


KINDS = (
    *("trained", "near ties", "one huge row", "constant rows", "equal pairs", "zero rows", "one coordinate a row"),
    "large biases",
)


def users(count: int, seed: int = 1) -> Floats:
    """User vectors with a spectrum, as LeakyReLU leaves them; the last three are none, far out and tiny."""
    rng = np.random.default_rng(seed)
    found = rng.standard_normal((count, WIDTH)) @ (rng.standard_normal((WIDTH, WIDTH)) / np.arange(1, WIDTH + 1))
    found = np.where(found > 0, found, 0.01 * found)
    if count >= 4:
        found[-3], found[-2], found[-1] = 0, 1e3 * found[-2], 1e-6 * found[-1]
    return found.astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("coordinates", [16, 32, WIDTH + 8])
def test_no_score_is_above_its_bound(kind: str, coordinates: int) -> None:
    weights, biases = layer(kind)
    scan = make_scan(weights, biases, users(256), coordinates)
    asked = users(64, seed=2)
    bounds, slack = scan.bounds(asked)
    scores = asked.astype(np.float64) @ weights.T.astype(np.float64) + biases
    assert (bounds + slack[:, None] >= scores).all()


def test_bounds_of_a_trained_layer_are_tight_enough_to_leave_few_items() -> None:
    weights, biases = layer("trained")
    asked = users(64, seed=2)[:-3]
    left = []
    for coordinates in (16, 32, WIDTH + 8):
        bounds, slack = make_scan(weights, biases, users(256), coordinates).bounds(asked)
        least = np.partition(asked @ weights.T + biases, -LIMIT, axis=1)[:, -LIMIT]
        left.append(np.median((bounds + slack[:, None] >= least[:, None]).sum(axis=1)))
    assert left[2] < 3 * LIMIT
    assert left == sorted(left, reverse=True)


def test_a_table_uses_no_more_than_seven_bits_where_two_products_must_fit_into_sixteen() -> None:
    rng = np.random.default_rng(0)
    made = [(*layer(kind), users(256), coordinates) for kind in KINDS for coordinates in (32, WIDTH + 8)]
    # Wide rows whose coordinates are all large alike: of these the rounding error takes the most room.
    alike = (rng.choice([-1, 1], (200, 1024)) * rng.uniform(0.9, 1, (200, 1024))).astype(np.float32)
    made.append((alike, np.zeros(200, dtype=np.float32), rng.standard_normal((64, 1024)).astype(np.float32), 1032))
    for weights, biases, asked, coordinates in made:
        table = make_scan(weights, biases, asked, coordinates).table.astype(np.int64)
        for pairs in (table.clip(min=0), -table.clip(max=0)):
            assert 255 * pairs.reshape(len(table) // 2, 2, -1).sum(axis=1).max() <= np.iinfo(np.int16).max


def graph(folder: Path, plan: Shortlist, weights: Floats, biases: Floats, **settings: Any) -> Any:
    """A session from `user_vector` (and `seen`) to the best items and their scores."""
    given = {"first_row": 0, "exclude_history": False, "opset": 21, **settings}
    vectors = ir.Value(name="user_vector", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", WIDTH]))
    node = ir.node("Identity", [vectors], name="encoder")
    node.outputs[0].name = "encoded"
    whole = ir.Graph([vectors], node.outputs, nodes=[node], opset_imports={"": given["opset"]}, name="test")
    model = ir.Model(whole, ir_version=10)
    rows = given["first_row"]
    parts = (ir.tensor(np.pad(weights, ((rows, 0), (0, 0)))), ir.tensor(np.pad(biases, (rows, 0))))
    put_shortlist(model, plan, parts, num_items=len(weights), limit=LIMIT, **given)
    for name, value in zip(("items", "scores"), whole.outputs, strict=True):
        value.name = name
    path = folder / "top_k.onnx"
    ir.save(model, path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def plan_of(weights: Floats, biases: Floats, *, coordinates: int = 32, many: bool = True, first: int = 32) -> Shortlist:
    few = make_scan(weights, biases, users(256), coordinates)
    wide = make_scan(weights, biases, users(256), WIDTH + 8)
    return Shortlist(few=few, first=first, few_rows=2, many=wide if many else None, many_first=first)


def require_the_best(
    items: NDArray[np.int64], scores: Floats, expected: NDArray[np.float64], seen: NDArray[np.int64] | None = None
) -> None:
    """The best of `expected` `[B, V]`, but for swaps of what float32 cannot tell apart."""
    if seen is not None:
        for row, known in zip(expected, seen, strict=True):
            row[known[(known > 0) & (known <= expected.shape[1])] - 1] = -np.inf
    noise = 1e-5 * np.abs(np.where(np.isfinite(expected), expected, 0)).max(axis=1, keepdims=True) + 1e-12
    best = -np.sort(-expected, axis=1)[:, :LIMIT]
    there = np.isfinite(best)
    assert (np.where(there, 0, items) == 0).all()
    assert (np.isneginf(scores) == ~there).all()
    mine = np.where(there, np.take_along_axis(expected, np.maximum(items - 1, 0), axis=1), 0)
    best, scores = np.where(there, best, 0), np.where(there, scores, 0)
    assert (np.abs(mine - best) <= 2 * noise).all()
    assert (np.abs(scores - mine) <= noise).all()
    assert all(len(set(row[row > 0])) == (row > 0).sum() for row in items)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings", [{}, {"opset": 20}, {"first_row": 1}, {"exclude_history": True}, {"many": False}], ids=str
)
def test_the_graph_gives_the_best_of_all_items(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    settings = dict(settings)
    weights, biases = layer(kind)
    plan = plan_of(weights, biases, many=settings.pop("many", True))
    session = graph(tmp_path, plan, weights, biases, **settings)
    asked = users(23, seed=3)
    exact = asked.astype(np.float64) @ weights.T.astype(np.float64) + biases
    seen = np.random.default_rng(0).integers(-1, ITEMS + 5, (23, 7))
    seen[:, :3] = np.argsort(-exact, axis=1)[:, :3] + 1
    for rows in (slice(0, 1), slice(20, 21), slice(21, 22), slice(0, 2), slice(0, 3), slice(0, 23)):
        given = {"user_vector": asked[rows], **({"seen": seen[rows]} if settings.get("exclude_history") else {})}
        found = session.run(None, given)
        require_the_best(*found, exact[rows].copy(), seen[rows] if "seen" in given else None)


def test_equal_scores_come_in_the_order_of_the_catalogue(tmp_path: Path) -> None:
    weights, biases = layer("constant rows")
    session = graph(tmp_path, plan_of(weights, biases), weights, biases)
    for batch in (1, 5):
        items, scores = session.run(None, {"user_vector": users(batch)})
        assert (items == np.arange(1, LIMIT + 1)).all()
        assert (scores == scores[:, :1]).all()


def test_a_user_who_knows_all_but_a_few_items_gets_those_and_then_nothing(tmp_path: Path) -> None:
    weights, biases = layer("trained")
    session = graph(tmp_path, plan_of(weights, biases), weights, biases, exclude_history=True)
    seen = np.arange(1, ITEMS + 1)[None].repeat(3, axis=0)
    seen[:, 100:104] = 0
    items, scores = session.run(None, {"user_vector": users(3), "seen": seen})
    assert (np.sort(items[:, :4], axis=1) == np.arange(101, 105)).all()
    assert (items[:, 4:] == 0).all()
    assert np.isneginf(scores[:, 4:]).all()


def test_rows_that_cannot_be_among_the_best_are_not_read(tmp_path: Path) -> None:
    weights, biases = layer("trained")
    plan = plan_of(weights, biases, coordinates=WIDTH + 8, first=64)
    asked = users(8, seed=4)[:5]
    bounds, slack = plan.few.bounds(asked)
    least = np.partition(asked @ weights.T + biases, -LIMIT, axis=1)[:, -LIMIT]
    possible = (bounds + slack[:, None] >= least[:, None]).any(axis=0)
    possible |= (bounds >= np.partition(bounds, -64, axis=1)[:, -64:].min(axis=1, keepdims=True)).any(axis=0)
    assert possible.sum() < ITEMS // 2
    spoilt = np.where(possible[:, None], weights, np.nan).astype(np.float32)
    session = graph(tmp_path, plan, spoilt, biases)
    exact = asked.astype(np.float64) @ weights.T.astype(np.float64) + biases
    for row in range(5):
        alone = slice(row, row + 1)
        require_the_best(*session.run(None, {"user_vector": asked[alone]}), exact[alone].copy())


def test_with_bounds_that_do_not_hold_the_best_are_missed(tmp_path: Path) -> None:
    """What the other tests rest on: the answer depends on the bounds."""
    weights, biases = layer("trained")
    plan = plan_of(weights, biases)
    low = plan.few.biases.copy()
    low[np.argsort(-(users(1) @ weights.T + biases)[0])[0]] -= 1e3
    wrong: Scan = replace(plan.few, biases=low)
    found = graph(tmp_path, replace(plan, few=wrong), weights, biases).run(None, {"user_vector": users(1)})
    exact = users(1).astype(np.float64) @ weights.T.astype(np.float64) + biases
    with pytest.raises(AssertionError, match="assert"):
        require_the_best(*found, exact)


def test_a_user_vector_that_is_not_finite_reaches_the_full_scan(tmp_path: Path) -> None:
    weights, biases = layer("trained")
    session = graph(tmp_path, plan_of(weights, biases), weights, biases)
    broken = users(3)
    broken[1] = np.nan
    items, scores = session.run(None, {"user_vector": broken})
    assert np.isnan(scores[1]).all()
    whole = session.run(None, {"user_vector": users(3)})
    assert (items[[0, 2]] == whole[0][[0, 2]]).all()


OF_TOP_K = [(TopK(limit=5), 21), (TopK(limit=7, k_is_input=True), 20), (TopK(limit=4, exclude_history=True), 21)]


@pytest.mark.parametrize(
    ("kind", "top_k", "opset"),
    [
        pytest.param("own output layer", *OF_TOP_K[0], marks=pytest.mark.slow),
        ("tied and text ids", *OF_TOP_K[1]),
        pytest.param("own output layer", *OF_TOP_K[2], marks=pytest.mark.slow),
        pytest.param("tied and text ids", *OF_TOP_K[0], marks=pytest.mark.slow),
        pytest.param("own output layer", *OF_TOP_K[1], marks=pytest.mark.slow),
        pytest.param("tied and text ids", *OF_TOP_K[2], marks=pytest.mark.slow),
    ],
)
@pytest.mark.bundle
def test_a_bundle_whose_top_k_has_a_shortlist_is_proven_like_any_other(
    kind: str,
    top_k: TopK,
    opset: int,
    make_run: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("export.shortlist.choice._Costs.plain", lambda self, rows: float("inf"))  # it pays, whatever
    tied = kind == "tied and text ids"
    run = make_run(f"shortlist_{tied}_{top_k.limit}", items=400, text=tied, tied_output=tied)
    bundle = tmp_path / "bundle"
    settings = ExportSettings(top_k=top_k, opset=opset, formats=("onnx",), signatures=("top_k",))
    manifest = export_bundle(run, bundle, settings)
    graph = onnx.load(str(bundle / "onnx" / "top_k.onnx"), load_external_data=False).graph
    names = {one.name for one in graph.initializer}
    assert ("model/shortlist/few/table" in names) == (opset == 20)  # in blocks, it lies in the branch of few rows
    assert {record.signature: record.rows for record in manifest.parity}["top_k"] > 250


def test_where_it_does_not_pay_there_is_no_shortlist(bundle_path: Path) -> None:
    graph = onnx.load(str(bundle_path / "onnx" / "top_k.onnx"), load_external_data=False).graph
    assert "If" not in {node.op_type for node in graph.node}
