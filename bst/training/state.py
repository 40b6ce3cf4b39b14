"""What a resume needs, in one file of the run: `training.safetensors`, replaced atomically, without pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bst.errors import InputError
from bst.system.files import parse_json, require_plain_file, write_atomically

STATE_FILE = "training.safetensors"
NO_CLIPPING = ('"clip_value": Infinity', '"clip_value": null')  # as it was written once, and as JSON can say it


@dataclass(frozen=True)
class TrainingState:
    """A moment between two steps of training.

    Attributes:
        tensors: weights (`model.`), optimiser (`optimizer.`), random numbers of each process (`random.`), and
            `gradient_norms`, float64 `[steps]`, of every step so far.
        values: plain values: the counters of the epoch in hand, the reports of those before, the random numbers that
            drew its windows.
    """

    tensors: dict[str, Tensor]
    values: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose name begins with `prefix` and a point, under the rest of their names."""
        start = prefix + "."
        return {name.removeprefix(start): tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def save_state(run: Path, state: TrainingState) -> None:
    """Replace the state in the folder `run`, atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    write_atomically(run / STATE_FILE, safetensors.torch.save(tensors, {"values": json.dumps(state.values)}))


def load_state(run: Path) -> TrainingState:
    """Read the state in the folder `run`.

    Raises:
        InputError: it is missing or damaged.
    """
    path = run / STATE_FILE
    if not path.exists():
        raise InputError(f"{run} cannot be resumed: it holds no {STATE_FILE}; train again with another --out")
    try:
        require_plain_file(path)
        with safe_open(path, framework="pt") as opened:
            values = parse_json(opened.metadata()["values"].replace(*NO_CLIPPING))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            _require_sound(values, tensors)
            return TrainingState(tensors, values)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}); train again with another --out") from None


def _require_sound(values: Any, tensors: dict[str, Tensor]) -> None:
    if not isinstance(values, dict):
        raise TypeError("its values are no table")
    for name, tensor in tensors.items():
        if tensor.dtype not in (torch.float32, torch.float64, torch.uint8):
            raise TypeError(f"{name} is {tensor.dtype}")
        if tensor.numel() and not torch.isfinite(torch.stack(torch.aminmax(tensor))).all():
            raise ValueError(f"{name} holds NaN or inf")


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten the moments of an optimiser, `<number of the parameter>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, one in state.items() for name, tensor in one.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], begun: bool) -> None:
    """Put back what `optimizer_tensors` gave; nothing, if no step was `begun`.

    Raises:
        ValueError: a moment is not of the shape of its parameter, or missing.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    if set(state) != set(range(len(parameters) if begun else 0)):
        raise ValueError(f"it holds moments of {len(state)} parameters, and the model has {len(parameters)}")
    for place, one in state.items():
        moments = {name: tensor.shape for name, tensor in one.items() if name != "step"}
        shape = parameters[place].shape
        if moments != {"exp_avg": shape, "exp_avg_sq": shape} or one["step"].numel() != 1:
            raise ValueError(f"the moments of parameter {place} do not fit it")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def data_digest(*arrays: NDArray[Any]) -> str:
    """sha256 over arrays, as hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def random_states(device: str) -> dict[str, Tensor]:
    """States of torch's random numbers on the CPU and, if `device` is another, there: uint8 tensors on the CPU."""
    on_cuda = {} if device == "cpu" else {"cuda": torch.cuda.get_rng_state(device)}
    return {"cpu": torch.get_rng_state(), **on_cuda}


def set_random_state(kind: str, device: str, state: Tensor) -> None:
    """Put back one state that `random_states` gave."""
    if kind == "cpu":
        torch.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)
