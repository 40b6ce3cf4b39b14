"""The name of the place where two formats part: each block of the model, spoilt alone, is found in every format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bst import load_run
from bst.run.folder import Run
from export import open_bundle
from export.proof.blocks import first_difference, where_they_part
from export.proof.golden import cases

BLOCKS: dict[str, Callable[[torch.nn.Module], torch.Tensor]] = {
    "block 'embedding'": lambda model: model.item_embedding.weight,
    "block 'positions'": lambda model: model.positions,
    "block 'cell 1'": lambda model: model.cells[0].attention.dense.weight,
    "block 'pooling'": lambda model: model.context_embeddings[0].weight,
    "block 'head'": lambda model: model.head[0].weight,
    "the output layer or the ids": lambda model: model.output.weight,
}


def place_of(weights: torch.Tensor, run: Run, bundle: Path, form: str) -> str:
    """Spoil some weights of the run and say where the format parts from it."""
    manifest = open_bundle(bundle).manifest
    record = manifest.format(form)
    signature = manifest.signature("top_k", record.ids)
    case = next(
        one for one in cases(run.config.model, run.heldout, manifest.settings.top_k) if one.name == "edges_in_one_batch"
    )
    weights += 0.05 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
    return where_they_part(bundle, record, signature, case, run)


@pytest.mark.parametrize("form", ["onnx", "torchscript", "pt2"])
@pytest.mark.parametrize("block", BLOCKS)
def test_the_first_block_that_differs_is_named(run_path: Path, bundle_path: Path, form: str, block: str) -> None:
    run = load_run(run_path)
    found = place_of(BLOCKS[block](run.model).data, run, bundle_path, form)
    if (form, block) == ("onnx", "block 'cell 1'"):
        block = "block 'pooling'"  # the last cell is computed for the pooled state alone
    assert f"they part at {'the ' if block.startswith('block') else ''}{block}" in found


@pytest.mark.parametrize("form", ["onnx", "torchscript", pytest.param("pt2", marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [1, 2])
def test_of_two_cells_the_one_that_differs_is_named(
    run_of: Callable[[str], Path], variants: dict[str, Path], form: str, number: int
) -> None:
    run = load_run(run_of("length_one"))
    bundle = variants["length_one_program" if form == "pt2" else "length_one"]
    found = place_of(run.model.cells[number - 1].ff_1.weight.data, run, bundle, form)
    assert f"they part at the block '{'pooling' if (form, number) == ('onnx', 2) else f'cell {number}'}'" in found


def test_packed_blocks_are_compared_row_by_row_of_the_real_slots() -> None:
    want = {"embedding": np.arange(12, dtype=np.float32).reshape(2, 3, 2)}
    real = np.array([[False, True, True], [False, False, True]])
    packed = {"embedding": np.concatenate([[[99.0, 99.0]], want["embedding"][real]]).astype(np.float32)}
    assert "all blocks agree" in first_difference(want, packed, real)
    packed["embedding"][-1, 0] += 1
    assert "part at the block 'embedding'" in first_difference(want, packed, real)


def test_blocks_are_compared_where_items_are_real_and_by_the_newest_slots() -> None:
    want = {"embedding": np.ones((1, 2, 3), dtype=np.float32)}
    padded = {"embedding": np.pad(want["embedding"], ((0, 0), (4, 0), (0, 0)), constant_values=9)}
    assert "all blocks agree" in first_difference(want, padded, np.array([[True, True]]))
    padded["embedding"][0, -1, 0] = 1.1
    assert "part at the block 'embedding'" in first_difference(want, padded, np.array([[True, True]]))
    assert "all blocks agree" in first_difference(want, padded, np.array([[True, False]]))


def test_a_block_without_the_slots_that_are_padding_in_every_row_is_compared_by_the_others() -> None:
    want = {"embedding": np.arange(12, dtype=np.float32).reshape(2, 3, 2), "candidates": np.ones((2, 4, 2), np.float32)}
    real = np.array([[False, False, True], [False, True, True]])
    cut = {"embedding": want["embedding"][:, 1:].copy()}
    assert first_difference(want, cut, real).startswith("they part behind the block 'embedding'")
    cut["embedding"][1, 0, 1] += 1
    assert first_difference(want, cut, real).startswith("they part at the block 'embedding', off by")
    cut = {"embedding": want["embedding"][:, 2:]}  # of a real slot
    assert "block 'embedding', whose values are [2, 2], not [3, 2]; the inputs agree" in first_difference(
        want, cut, real
    )


def test_of_a_click_model_every_case_is_looked_into(run_of: Callable[[str], Path], variants: dict[str, Path]) -> None:
    """ONNX files cut off what is padding in the whole batch, so that their blocks have fewer slots."""
    run, manifest = load_run(run_of("clicks")), open_bundle(variants["clicks"]).manifest
    record, top_k = manifest.format("onnx"), manifest.settings.top_k
    run.model.item_embedding.weight.data[1:] += 0.1
    signature = manifest.signature("score_candidates", record.ids)
    places = [
        where_they_part(variants["clicks"], record, signature, case, run)
        for case in cases(run.config.model, run.heldout, top_k)
        if ((case.items > 0) & (case.items <= run.config.model.num_items)).any()
    ]
    assert len(places) > 4
    assert all(place.startswith("they part at the block 'embedding', off by") for place in places), places


def test_a_format_without_a_block_is_not_said_to_agree() -> None:
    expected = {"embedding": np.ones((1, 2), np.float32)}
    assert first_difference(expected, {}, np.ones((1, 1), np.bool_)) == "no block of this format can be looked into"


def test_blocks_that_a_format_does_not_show_are_not_said_to_agree() -> None:
    expected = {"embedding": np.ones((1, 2), np.float32), "candidates, cell 1": np.ones((1, 2), np.float32)}
    told = first_difference(expected, {"embedding": expected["embedding"]}, np.ones((1, 1), np.bool_))
    assert told.startswith("they part behind the block 'embedding'")
    assert first_difference(expected, expected, np.ones((1, 1), np.bool_)).startswith("all blocks agree")
