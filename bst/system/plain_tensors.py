"""Tensors by name from files of `torch.save`; anything else in the pickle is refused."""

from __future__ import annotations

import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bst.errors import InputError, reason

ZIP = b"PK\x03\x04"
# The last that stands in an archive, before it where the one for large files stands, and how long that one is.
ZIP_END, ZIP64_LOCATOR, ZIP64_END_BYTES = struct.Struct("<4s18x"), struct.Struct("<4sIQI"), 56


def read_plain_tensors(path: Path) -> dict[str, Tensor]:
    """Read a dictionary of tensors to the CPU; no code of the pickle in it is run.

    Raises:
        InputError: the file cannot be read, unpacks to more than itself, or holds anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _require_archive(path)
            tensors = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read the weights {path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged pickle may raise any
        raise InputError(
            f"{path} cannot be loaded as plain tensors ({reason(error)}); "
            "save it with torch.save(model.state_dict(), path)"
        ) from None
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors.items()
    ):
        raise InputError(f"{path} holds more than named tensors; save it with torch.save(model.state_dict(), path)")
    return dict(tensors)


def _require_archive(path: Path) -> None:
    """Refuse files of torch before 1.6, whose sizes torch trusts, and an archive that unpacks to more than itself:
    torch packs none, and would unpack others.
    """
    with path.open("rb") as stream:
        if stream.read(len(ZIP)) != ZIP:
            raise ValueError("it is not an archive, as torch has saved since 1.6")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("its members are larger than itself")
    require_one_reading(path, members)


def require_one_reading(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive in which torch would find other members than Python does: each looks for the directory its way.

    Raises:
        ValueError: the directory does not stand at the very end, or the two list other names or places; or a
            RuntimeError of torch's reader.
    """
    length = ZIP_END.size + ZIP64_LOCATOR.size
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - length))
        tail = stream.read().rjust(length, b"\0")
    locator, end = ZIP64_LOCATOR.unpack_from(tail), ZIP_END.unpack_from(tail, ZIP64_LOCATOR.size)
    lies = locator[0] == b"PK\6\7" and locator[2] != size - length - ZIP64_END_BYTES
    reader: Any = torch._C.PyTorchFileReader(str(path))  # its stub lacks half of it
    places = {member.filename.partition("/")[2]: member.header_offset for member in members}
    if (
        end[0] != b"PK\5\6"
        or lies
        or sorted(reader.get_all_records()) != sorted(places)
        or any(reader.get_record_header_offset(name) != place for name, place in places.items())
    ):
        raise ValueError("its directory can be read in two ways")
