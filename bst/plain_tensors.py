"""Tensors by name from what `torch.save` wrote, and nothing else that a pickle can hold."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from bst.errors import InputError, reason

ZIP = b"PK\x03\x04"  # what torch saves before 1.6 does not begin with it


def read_plain_tensors(path: Path) -> dict[str, Tensor]:
    """Read a dictionary of tensors to the CPU; no code of the pickle in it is run.

    Raises:
        InputError: the file cannot be read, unpacks to more than itself, or holds anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _require_stored(path)
            found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror or error}") from None
    except Exception as error:  # a spoilt pickle ends in any of them
        raise InputError(
            f"{path} cannot be loaded as plain tensors ({reason(error)}); "
            "save it with torch.save(model.state_dict(), path)"
        ) from None
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise InputError(f"{path} holds more than named tensors; save it with torch.save(model.state_dict(), path)")
    return dict(found)


def _require_stored(path: Path) -> None:
    """Refuse an archive that unpacks to more than itself: torch packs none, and would unpack what others have."""
    with path.open("rb") as stream:
        if stream.read(4) != ZIP:
            return
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > path.stat().st_size:
            raise ValueError("its members are larger than itself")
