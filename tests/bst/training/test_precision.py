import pytest
import torch
from torch import Tensor

from bst import TrainConfig
from bst.training.precision import precision_of
from bst.training.world import World


@pytest.mark.parametrize(
    ("chosen", "task", "dim", "flags", "precision", "reason"),
    [
        ("auto", "next_item", 128, {"avx512_bf16"}, "bfloat16", "instructions for bfloat16 on this cpu"),
        ("auto", "next_item", 128, {"amx_bf16", "avx2"}, "bfloat16", "instructions for bfloat16 on this cpu"),
        ("auto", "next_item", 128, {"avx2"}, "float32", "no instructions for bfloat16 on this cpu"),
        ("auto", "next_item", 64, {"avx512_bf16"}, "bfloat16", "instructions for bfloat16 on this cpu"),
        ("auto", "next_item", 63, {"avx512_bf16"}, "float32", "dim=63 is less than 64"),
        ("auto", "click", 128, {"avx512_bf16"}, "float32", "a click model"),
        ("float32", "next_item", 128, {"avx512_bf16"}, "float32", "as set"),
        ("bfloat16", "click", 32, set(), "bfloat16", "as set"),
    ],
)
def test_the_precision_follows_the_processor_and_the_width(
    chosen: str, task: str, dim: int, flags: set[str], precision: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bst.training.precision.cpu_flags", lambda: frozenset(flags))
    config = TrainConfig.model_validate({"precision": chosen})
    found, line = precision_of(config, task, dim, World())
    assert found == precision
    assert line.startswith(f"products in {precision}")
    assert line.endswith(f"({reason})")


class _Mixed(World):
    """Two processes, of which the other one has no instructions for bfloat16."""

    def gather(self, tensor: Tensor) -> list[Tensor]:
        return [tensor, torch.zeros_like(tensor)]


def test_processes_of_unlike_processors_train_in_one_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bst.training.precision.cpu_flags", lambda: frozenset({"avx512_bf16"}))
    precision, line = precision_of(TrainConfig(), "next_item", 128, _Mixed(0, 2))
    assert precision == "float32"
    assert line == "products in float32 (no instructions for bfloat16 on each device of 2 processes)"
