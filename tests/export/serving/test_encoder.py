"""The packed encoder gives the vectors of the model, with less work."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from bst.config import BSTConfig, ContextFeature
from bst.model import BST
from export import open_bundle
from export.contract.signatures import TopK
from export.formats.onnx.blocks import blocks_of_onnx, values_of_onnx
from export.serving.encoder import PackedEncoder
from export.serving.scorer import Scorer

SIZES: dict[str, Any] = {"num_items": 30, "max_length": 9, "ff_width": 20}
CONTEXT = (ContextFeature(name="a", num_categories=3, dim=4), ContextFeature(name="b", num_categories=5, dim=2))
CONFIGS = {
    "newest": BSTConfig(**SIZES, dim=16, num_heads=4, num_blocks=2, head_widths=(12,)),
    "mean": BSTConfig(**SIZES, dim=16, num_heads=2, num_blocks=2, head_widths=(12,), pooling="mean", context=CONTEXT),
    "one block": BSTConfig(**SIZES, dim=12, num_heads=3, num_blocks=1, head_widths=(), context=CONTEXT),
    "oldest": BSTConfig(
        **SIZES,
        **{"dim": 8, "num_heads": 2, "places": "oldest", "place_vectors": "learned", "attention_biases": True},
    ),
    "bare": BSTConfig(**SIZES, dim=8, num_heads=2, norm="none", residual=False, places="none", activation="gelu"),
    "sum": BSTConfig(**SIZES, dim=8, num_heads=2, pooling="sum", attention_biases=True, activation="leaky_relu"),
    "odd": BSTConfig(**SIZES, dim=7, num_heads=1, num_blocks=3, head_widths=(8, 5), tied_output=False),
}


def random_model(config: BSTConfig) -> BST:
    torch.manual_seed(0)
    model = BST(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    model.item_embedding.weight.data[0] = 0
    return model


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("share_of_padding", [0.0, 0.5, 0.95, 1.0])
def test_the_packed_encoder_gives_the_vectors_of_the_model(name: str, share_of_padding: float) -> None:
    config = CONFIGS[name]
    model = random_model(config)
    for length in (1, 2, 9):
        items = torch.randint(1, config.num_items + 1, (6, length))
        items[torch.rand(items.shape) < share_of_padding] = 0
        items[2] = 0
        context = (
            torch.stack([torch.randint(0, one.num_categories + 1, (6,)) for one in config.context], dim=1)
            if config.context
            else torch.zeros(6, 0, dtype=torch.int64)
        )
        inputs = {"items": items, "context": context}
        with torch.inference_mode():
            torch.testing.assert_close(PackedEncoder(model)(inputs), model.user_vectors(inputs), rtol=0, atol=1e-5)


def test_a_model_to_which_padding_counts_is_not_packed() -> None:
    config = BSTConfig(**SIZES, dim=8, num_heads=2, num_blocks=1, pooling="mean", padding="counted")
    model = random_model(config)
    with pytest.raises(ValueError, match="padding counts to this model: encode with the model itself"):
        PackedEncoder(model)
    scorer = Scorer(model, config, TopK(limit=3), packed=True)
    inputs = {"items": torch.tensor([[0, 0, 4, 5]]), "context": torch.zeros(1, 0, dtype=torch.int64)}
    assert torch.equal(scorer.encode(inputs), model.user_vectors(inputs))


def test_the_graph_computes_nothing_for_padding(bundle_path: Path) -> None:
    bundle = open_bundle(bundle_path)
    ids = bundle.vocabularies.items.ids.to_list()
    padding = bundle.manifest.items.padding
    history = np.array([[padding, padding, padding, ids[0], padding], [padding, padding, padding, padding, ids[1]]])
    inputs = {"history": history}
    for name, facts in bundle.manifest.context.items():
        inputs[name] = np.array([facts.padding] * 2, dtype=np.int64 if facts.dtype == "int64" else object)
    path = bundle_path / "onnx" / "all_scores.onnx"
    rows = {name: len(block) for name, block in blocks_of_onnx(path, inputs).items()}
    assert rows == {"embedding": 3, "positions": 3, "pooling": 2, "head": 2}
    assert trimmed_items(path, inputs).tolist() == [[1, 0], [0, 2]]


def trimmed_items(path: Path, inputs: dict[str, Any]) -> Any:
    """What the encoder gets of a history: the output of the Slice that starts where ArgMax says."""
    nodes = onnx.load(str(path), load_external_data=False).graph.node
    (first,) = [node.output[0] for node in nodes if node.op_type == "ArgMax"]
    (trimmed,) = [node.output[0] for node in nodes if node.op_type == "Slice" and node.input[1] == first]
    return values_of_onnx(path, inputs, [trimmed])[trimmed]
