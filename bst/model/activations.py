"""Activations of cells and of the head."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

DICE_EPSILON = 0.001  # of torch-rechub, for each unit of a row


class PReLU(nn.Module):
    """A leaky ReLU whose slope is a weight for each unit (He et al., 2015, arXiv 1502.01852, section 2.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.full((width,), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x > 0, x, x * self.slopes)


class Dice(nn.Module):
    """The activation of the Deep Interest Network (Zhou et al., 2018, arXiv 1706.06978, section 5.3), as it scores: the
    mean and the variance of each unit are in `scale` and `shift`.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("shift", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        above = torch.sigmoid(x * self.scale + self.shift) * x
        return above + self.slopes * (x - above)


class RowDice(nn.Module):
    """What torch-rechub calls Dice: the mean and the spread are those of a row of units, with one slope for all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.zeros(1))
        self.epsilon = width * DICE_EPSILON

    def forward(self, x: Tensor) -> Tensor:
        deviations = x - x.mean(dim=-1, keepdim=True)
        spread = ((deviations * deviations).sum(dim=-1, keepdim=True) + self.epsilon).sqrt()
        above = torch.sigmoid(deviations / spread) * x
        return above + self.slopes * (x - above)


# By their names in a config, each made for the width of its layer.
ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda width: nn.ReLU(),
    "leaky_relu": lambda width: nn.LeakyReLU(),
    "gelu": lambda width: nn.GELU(),
    "sigmoid": lambda width: nn.Sigmoid(),
    "tanh": lambda width: nn.Tanh(),
    "softmax": lambda width: nn.Softmax(dim=-1),
    "prelu": PReLU,
    "dice": Dice,
    "row_dice": RowDice,
}
