"""What somebody would do to a file who wants harm, and how a test sees that it was done."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from export.contract.contents import list_files

# A config of the notebook, the least there is.
NOTEBOOK = {
    "item_embed": {"num_embeddings": 5, "embedding_dim": 4},
    "trans": {"input_size": 4, "hidden_size": 8, "n_layers": 1, "n_heads": 2},
    "context_features": [],
    "max_seq_len": 3,
}

Change = Callable[[str, bytes], tuple[str, bytes]]


class Trap:
    """Unpickled, it leaves a file `trapped` where the process works."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch trapped",)


def trapped_pickle() -> bytes:
    return pickle.dumps(Trap())


def trapped_weights(*, zipped: bool) -> bytes:
    """What torch.save writes of a dictionary with a trap in it."""
    stream = io.BytesIO()
    torch.save({"mlp.0.weight": torch.ones(2), "trap": Trap()}, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def rewrite_archive(path: Path, change: Change) -> None:
    """Write a torch archive anew, as torch writes it, with entries that `change` names and fills."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info.filename, archive.read(info.filename)) for info in archive.infolist()]
    root = entries[0][0].split("/")[0]
    writer = torch._C.PyTorchFileWriter(str(path.with_suffix(".new")))
    for name, data in entries:
        inner, content = change(name.removeprefix(f"{root}/"), data)
        if not inner.startswith(".data") and inner != "byteorder":
            writer.write_record(inner, content, len(content))
    writer.write_end_of_file()
    path.with_suffix(".new").rename(path)


def rewrite_zip(path: Path, change: Change, *, compression: int = zipfile.ZIP_STORED) -> None:
    """The same by Python's writer, which lets a name lead anywhere."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info.filename, archive.read(info.filename)) for info in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries:
            archive.writestr(*change(name, data))


def two_in_one(shown: bytes, hidden: bytes) -> bytes:
    """One file of two archives of torch: `hidden` for who looks for the directory where the file says that it is, as
    torch does, and `shown` for who takes the one at the end, as Python 3.11 does."""
    (shown_end, hidden_end), start = (one[-98:-42] for one in (shown, hidden)), len(hidden)
    size, place = struct.unpack("<QQ", shown_end[-16:])
    directory, at = bytearray(shown[place : place + size]), 0
    while at < size:
        (offset,) = struct.unpack_from("<I", directory, at + 42)
        struct.pack_into("<I", directory, at + 42, offset + start)
        at += 46 + sum(struct.unpack_from("<HHH", directory, at + 28))
    moved = shown_end[:-8] + struct.pack("<Q", start + place + len(hidden_end))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + place, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return hidden + shown[:place] + hidden_end + directory + moved + locator + end


def change_json(data: bytes, change: Callable[[Any], None]) -> bytes:
    values = json.loads(data)
    change(values)
    return json.dumps(values).encode()


def seal(bundle: Path) -> None:
    """Make the manifest agree with the files, as somebody would who wants to hide a change."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"] = [record.model_dump() for record in list_files(bundle)]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
