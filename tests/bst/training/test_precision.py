import pytest

from bst import TrainConfig
from bst.training.precision import precision_of


@pytest.mark.parametrize(
    ("chosen", "task", "dim", "flags", "precision", "reason"),
    [
        ("auto", "next_item", 128, {"avx512_bf16"}, "bfloat16", "instructions for bfloat16 on this cpu"),
        ("auto", "next_item", 128, {"amx_bf16", "avx2"}, "bfloat16", "instructions for bfloat16 on this cpu"),
        ("auto", "next_item", 128, {"avx2"}, "float32", "no instructions for bfloat16 on this cpu"),
        ("auto", "next_item", 64, {"avx512_bf16"}, "float32", "dim=64 is less than 128"),
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
    found, line = precision_of(config, task, dim, "cpu")
    assert found == precision
    assert line.startswith(f"products in {precision}")
    assert line.endswith(f"({reason})")
