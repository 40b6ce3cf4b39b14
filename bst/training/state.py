"""A moment between two steps of training; resumed from it, training reaches the same weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class TrainingState:
    """A moment between two steps of training.

    Attributes:
        tensors: weights (`model.`), optimisers (`optimizer.`, `rows.`), random numbers of each process (`random.`), and
            `gradient_norms`, float64 `[steps]`, of every step so far.
        values: plain values: the counters of the current epoch, the reports of those before, the random state that
            draws its windows.
    """

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose name begins with `prefix` and a point, under the rest of their names."""
        start = prefix + "."
        return {name.removeprefix(start): tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten the moments of an optimiser, `<number of the parameter>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": _as_tensor(value) for number, moments in state.items() for name, value in moments.items()
    }


def _as_tensor(value: Tensor | float) -> Tensor:
    """Return the number of steps, which some optimisers hold as a number, as others hold it: exact up to 2^24."""
    return value if isinstance(value, Tensor) else torch.tensor(float(value))


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], begun: bool) -> None:
    """Restore the tensors of `optimizer_tensors`; nothing, if no step was `begun`.

    Raises:
        ValueError: a moment is not of the shape of its parameter, or missing.
    """
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if set(state) != set(range(len(parameters) if begun else 0)):
        raise ValueError(f"it holds moments of {len(state)} parameters, and the model has {len(parameters)}")
    for place, values in state.items():
        moments = {name: tensor.shape for name, tensor in values.items() if name != "step"}
        shape = parameters[place].shape
        if moments != {"exp_avg": shape, "exp_avg_sq": shape} or values["step"].numel() != 1:
            raise ValueError(f"the moments of parameter {place} do not fit it")
        if isinstance(optimizer, torch.optim.SparseAdam):
            values["step"] = int(values["step"].item())  # of a tensor it would compute in float32
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def random_states(device: str) -> dict[str, Tensor]:
    """Return the states of torch's random numbers on the CPU and, if `device` is another, there: uint8 tensors on
    the CPU.
    """
    on_cuda = {} if device == "cpu" else {"cuda": torch.cuda.get_rng_state(device)}
    return {"cpu": torch.get_rng_state(), **on_cuda}


def set_random_state(kind: str, device: str, state: Tensor) -> None:
    """Restore one state of `random_states`."""
    if kind == "cpu":
        torch.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)
