"""The state that a resume needs, as `training.safetensors` in the run: replaced atomically, without pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bst.errors import InputError
from bst.run.folder import STATE_FILE
from bst.system.files import parse_json, require_plain_file, write_atomically
from bst.training.state import TrainingState

# Those of weights and moments, of random states, and of the features of items.
DTYPES = (torch.float32, torch.float64, torch.uint8, torch.int32, torch.bool)
NO_CLIPPING = ('"clip_value": Infinity', '"clip_value": null')  # as it was written once, and as JSON can say it


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
        if tensor.dtype not in DTYPES:
            raise TypeError(f"{name} is {tensor.dtype}")
        if tensor.numel() and not torch.isfinite(torch.stack(torch.aminmax(tensor))).all():
            raise ValueError(f"{name} holds NaN or inf")
