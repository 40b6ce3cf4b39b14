import pytest
import torch

from bst.model.dropout import Dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_leaves_out_its_share_and_keeps_the_mean(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, 100, dtype=dtype, requires_grad=True)
    y = Dropout(0.3)(x)
    assert y.dtype == dtype
    assert float((y == 0).float().mean()) == pytest.approx(0.3, abs=0.01)  # the standard error is 0.0015
    assert y.max().item() == torch.tensor(1 / 0.7, dtype=dtype).item()
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, y)  # what is left out gets no gradient, the rest as much as it counted


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_without_training_or_a_share_dropout_is_the_identity() -> None:
    x = torch.randn(10, 10)
    assert torch.equal(Dropout(0.3).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(torch.jit.script(Dropout(0.3).eval())(x), x)
