"""Modules that are built without numbers, because a file has them."""

from pathlib import Path

import pytest
import torch
import torch._refs
from torch import nn

from bst import load_run
from bst.system.unfilled import unfilled


@pytest.fixture
def no_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where torch draws for a tensor without memory: that loads its compiler, of two seconds."""
    monkeypatch.setattr(torch._refs, "normal", lambda *arguments, **named: pytest.fail("torch's compiler is loaded"))


@pytest.mark.usefixtures("no_draws")
def test_a_module_without_numbers_has_no_memory_and_draws_nothing() -> None:
    with unfilled():
        module = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 2))
    assert all(weights.is_meta for weights in module.parameters())
    with pytest.raises(pytest.fail.Exception, match="compiler is loaded"), torch.device("meta"):
        nn.Embedding(3, 2)


@pytest.mark.usefixtures("no_draws")
def test_a_run_is_loaded_without_a_draw(run_path: Path) -> None:
    model = load_run(run_path).model
    assert not any(weights.is_meta for weights in model.parameters())
