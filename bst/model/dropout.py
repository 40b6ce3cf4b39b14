"""Dropout, with cheap random numbers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """The dropout of torch (Srivastava et al., 2014), with uniform random numbers on the CPU.

    There torch draws Bernoulli numbers, which take 2.4 times as long on an AMD processor.
    """

    __constants__ = ["p", "inplace", "draws"]  # noqa: RUF012  TorchScript compiles only the branch that they choose
    draws: bool

    def __init__(self, share: float) -> None:
        super().__init__(share)
        self.draws = self.training

    def train(self, mode: bool = True) -> "Dropout":
        """Set whether the module leaves anything out; `eval()` calls this too."""
        self.draws = mode
        return super().train(mode)

    def forward(self, input: Tensor) -> Tensor:
        if self.draws and self.p > 0 and input.is_cpu:
            kept = torch.rand(input.shape) >= self.p
            return input * kept.to(input.dtype).mul_(1 / (1 - self.p))
        return F.dropout(input, self.p, self.training)
