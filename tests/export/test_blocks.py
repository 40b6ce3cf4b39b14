"""Where two formats part is said by name: each block of the model, spoilt alone, is found in every format."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bst import load_run
from export import open_bundle
from export.blocks import first_difference, where_they_part
from export.golden import cases

BLOCKS: dict[str, Callable[[torch.nn.Module], torch.Tensor]] = {
    "block 'embedding'": lambda model: model.item_embedding.weight,
    "block 'positions'": lambda model: model.positions,
    "block 'cell 1'": lambda model: model.cells[0].attention.dense.weight,
    "block 'cell 2'": lambda model: model.cells[1].ff_1.weight,
    "block 'pooling'": lambda model: model.context_embeddings[0].weight,
    "block 'head'": lambda model: model.head[0].weight,
    "the output layer or the ids": lambda model: model.output.weight,
}


@pytest.mark.parametrize("form", ["onnx", "torchscript", "pt2"])
@pytest.mark.parametrize("block", BLOCKS)
def test_the_first_block_that_differs_is_named(run_path: Path, bundle_path: Path, form: str, block: str) -> None:
    run = load_run(run_path)
    manifest = open_bundle(bundle_path).manifest
    record = manifest.format(form)
    signature = manifest.signature("all_scores", record.ids)
    case = next(
        one for one in cases(run.config.model, run.heldout, manifest.settings.top_k) if one.name == "edges_in_one_batch"
    )
    weights = BLOCKS[block](run.model).data
    if (form, block) == ("onnx", "block 'cell 2'"):
        block = "block 'pooling'"  # the last cell is computed for the pooled state alone
    weights += 0.05 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(0))
    assert f"they part at {'the ' if block.startswith('block') else ''}{block}" in where_they_part(
        bundle_path, record, signature, case, run
    )


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
