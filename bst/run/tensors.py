"""Files of tensors in a run or bundle, as safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor

from bst.errors import InputError
from bst.system.files import require_plain_file

PIECE = 2**24  # bytes
WHAT = "a run (a folder that `bst train` writes)"


def read_tensors(path: Path, what: str = WHAT, again: str = "train again") -> dict[str, Tensor]:
    """Read a safetensors file of a run or bundle, mapped.

    Raises:
        InputError: it is missing, no plain file, damaged or cut short.
    """
    try:
        require_plain_file(path)
        return safetensors.torch.load_file(path)
    except OSError as error:
        cause = error.strerror or error
        raise InputError(f"{path.parent} is not {what}: {path.name} cannot be read ({cause})") from None
    except ValueError as error:
        raise InputError(f"{path.parent} is not {what}: {path.name} cannot be read ({error})") from None
    except SafetensorError as error:
        raise InputError(f"{path} is damaged or cut short ({error}); restore it or {again}") from None


def digest(*arrays: NDArray[Any], release: Callable[[], None] = lambda: None) -> str:
    """Compute the sha256 over arrays, as hexadecimal digits; `release` is called after each piece of one."""
    sha256 = hashlib.sha256()
    for array in arrays:
        sha256.update(f"{array.dtype}{array.shape}".encode())
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for start in range(0, len(content), PIECE):
            sha256.update(content[start : start + PIECE].data)
            release()
    return sha256.hexdigest()
