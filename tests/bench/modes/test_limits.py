"""The floor counts what cannot be avoided, and no more."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.modes.limits import Work, floor_us, measure_rates, rates_of, work_of, working_set
from bst import BST, BSTConfig
from bst.config import ContextFeature
from export.proof.golden import Call

CONFIG = BSTConfig(
    num_items=300,
    dim=16,
    num_heads=2,
    num_blocks=2,
    ff_width=24,
    max_length=10,
    head_widths=(20,),
    tied_output=False,
    place_vectors="sinusoidal",
    pooling="mean",
    context=(ContextFeature(name="country", num_categories=5, dim=3),),
)


def call(batch: int, length: int) -> Call:
    items = np.arange(1, batch * length + 1).reshape(batch, length)
    return Call("counted", items, np.ones((batch, 1), dtype=np.int64), np.arange(1, batch * 7 + 1).reshape(batch, 7), 5)


def test_operations_are_those_that_torch_counts_without_what_causality_spares() -> None:
    model = BST(CONFIG).eval()
    one = call(3, 10)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.from_numpy(one.items), torch.from_numpy(one.context))
    hidden = 2 * 2 * 2 * 3 * 16 * (10 * 10 - 10 * 11 // 2)  # of two products, in two blocks: what a query must not see
    mean = 2 * 3 * 10 * 16  # written as a product, but a sum would do
    assert work_of(CONFIG, "all_scores", one).operations == counter.get_total_flops() - hidden - mean


def test_bytes_are_those_of_the_weights_and_of_what_goes_in_and_out() -> None:
    model = BST(CONFIG)
    one = call(2, 10)
    weights = sum(parameter.numel() for parameter in model.parameters()) - 301 * 16 - 6 * 3
    expected = weights + 20 * 16 + 2 * 3 + 2 * 300
    assert work_of(CONFIG, "all_scores", one).moved_bytes == 4 * expected


def test_candidates_read_their_rows_alone_and_padding_costs_nothing() -> None:
    short, long = work_of(CONFIG, "score_candidates", call(2, 3)), work_of(CONFIG, "all_scores", call(2, 3))
    assert short.moved_bytes < long.moved_bytes
    padded = call(2, 3)
    padded.items[:, 0] = 0
    cut = call(2, 3)
    cut = Call("cut", cut.items[:, 1:], cut.context, cut.candidates, cut.k)
    assert work_of(CONFIG, "encode_user", padded) == work_of(CONFIG, "encode_user", cut)


def test_each_sequence_of_a_click_model_costs_what_it_holds() -> None:
    own = {"dim": 8, "ff_width": 8, "max_length": 10, "places": "none", "longer_histories": "newest"}
    clicks = BSTConfig.model_validate(
        {
            **{"task": "click", "num_items": 300, "dim": 16, "num_heads": 2, "num_blocks": 1, "ff_width": 24},
            **{"max_length": 10, "sequences": ({"name": "skipped", "candidate_vectors": "shared", **own},)},
        }
    )
    alone = clicks.model_copy(update={"sequences": ()})

    def work(config: BSTConfig, items: list[int]) -> Work:
        return work_of(config, "score_candidates", replace(call(1, 3), beside={"skipped": np.array([items])}))

    none, padded, two = (work(clicks, items) for items in ([0], [0, 0, 7], [9, 0, 7]))
    assert work(alone, [0]).operations < none.operations < padded.operations < two.operations
    assert work(clicks, [7]) == padded
    assert two.moved_bytes - padded.moved_bytes == 4 * 8


def test_the_newest_state_alone_is_counted_where_it_alone_is_pooled() -> None:
    last = CONFIG.model_copy(update={"pooling": "last"})
    assert work_of(last, "encode_user", call(1, 10)).operations < work_of(CONFIG, "encode_user", call(1, 10)).operations
    assert work_of(last, "encode_user", call(1, 1)) == work_of(CONFIG, "encode_user", call(1, 1))


def test_the_floor_is_the_larger_of_two_times() -> None:
    assert floor_us([Work(1000, 10)], 1e9, 1e9) == pytest.approx(1.0)
    assert floor_us([Work(10, 5000)], 1e9, 1e9) == pytest.approx(5.0)


def test_rates_are_measured_and_their_spread_is_kept() -> None:
    before = torch.get_num_threads()
    found = measure_rates(1, [working_set([work_of(CONFIG, "top_k", call(2, 3))])], 0.02)
    torch.set_num_threads(before)
    assert [size for size, _ in found] == [2**18, 0]
    assert all(1e8 < speed < 1e13 for _, speed in found)
    moved, done = rates_of([[(4, 10.0), (0, 3.0)], [(4, 12.0), (0, 3.0)]], 1, "cpu")
    assert (moved.what, moved.per_s, moved.spread) == ("bytes", 12.0, pytest.approx(0.2))
    assert (done.what, done.per_s, done.spread) == ("operations", 3.0, 0.0)
