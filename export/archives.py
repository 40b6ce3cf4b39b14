"""What may be in the archives that torch reads: plain members, no pickle of Python, no operator that no model needs.

A program is code. These rules keep that code to arithmetic on tensors: it opens no file and starts no process. They do
not bound the time and memory that it takes, and there is no such rule for machine code (AOTInductor).
"""

from __future__ import annotations

import re
import zipfile
import zlib
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import torch

UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
ZIP_MAGIC = b"PK\x03\x04"
UNPACKED_BYTES = 2**28  # of all compressed members together; weights are stored as they are
DOTTED = re.compile(r"\.\s*([A-Za-z_]\w*)")
ELSEWHERE = re.compile(r"\b(rpc_\w+|fork|awaitable)\b")  # what runs beside the call, or on another machine
CLASSES = b"torch.classes"  # objects in C++ that torch's own readers make
# What the model is made of, as TorchScript and torch.export call it.
OPERATORS = frozenset(
    """
    add sub mul div neg matmul linear sum cumsum softmax layer_norm relu relu_ leaky_relu leaky_relu_ dropout dropout_
    embedding searchsorted topk scatter_reduce where masked_fill full_like new_zeros zeros ones ones_like arange tensor
    eq ne lt le gt ge logical_not bitwise_not __and__ __or__ __not__ __isnot__ __is__ __contains__ clamp
    stack cat chunk split slice select index narrow pad squeeze unsqueeze transpose flatten unflatten expand reshape
    view contiguous clone detach alias to tolist item size sym_size len append get keys values items format warn real
    dtype device RaiseException _assert_tensor_metadata _assert_scalar sym_constrain_range_for_size
    """.split()  # noqa: SIM905  ninety words, each in quotes, are no list that a person reads
)
ARITHMETIC = frozenset(("add", "sub", "mul", "floordiv", "mod", "neg", "eq", "ne", "lt", "le", "gt", "ge"))


def require_plain(path: Path) -> None:
    """Refuse an archive whose members have odd names, come twice, or unpack to more than they should.

    Raises:
        ValueError: names the member; or another of `UNREADABLE`, where it is no archive at all.
    """
    with path.open("rb") as stream:
        if stream.read(4) != ZIP_MAGIC:  # torch goes by the first bytes, Python's reader by the last
            raise ValueError("it is not a zip archive")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    names = [member.filename for member in members]
    for name in names:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or "\\" in name or "\0" in name:
            raise ValueError(f"its member {name!r} leads out of the archive")
    if len(set(names)) < len(names):
        raise ValueError("a member comes twice")
    packed = [member for member in members if member.compress_type != zipfile.ZIP_STORED]
    if sum(member.file_size for member in packed) > UNPACKED_BYTES:
        raise ValueError(f"it unpacks to more than {UNPACKED_BYTES:,} bytes")
    if sum(member.file_size for member in members if member not in packed) > path.stat().st_size:
        raise ValueError("its members are larger than itself")


def require_arithmetic(path: Path) -> None:
    """Refuse a TorchScript archive that is not plain, or whose code calls operators that no model of ours needs.

    Raises:
        ValueError: names the operator; others as `require_plain`.
    """
    require_plain(path)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                _check_code(archive.read(name).decode())
            elif name.endswith(".pkl") and CLASSES in archive.read(name):
                raise ValueError(f"{name} holds an object of {CLASSES.decode()}")


def require_known_target(target: str) -> None:
    """Refuse an operator of a torch.export program, such as `torch.ops.aten.add.Tensor`, that no model of ours needs.

    torch looks the name up among all that the modules `torch` and `operator` can reach, and calls what it finds.

    Raises:
        ValueError: names it.
    """
    parts = target.split(".")
    aten = len(parts) == 5 and parts[:3] == ["torch", "ops", "aten"] and parts[3] in OPERATORS
    if not (aten or (len(parts) == 2 and parts[0] == "_operator" and parts[1] in ARITHMETIC)):
        raise ValueError(f"it calls {target!r}, which none that bst writes does")


def require_known_targets(value: Any) -> None:
    """Apply `require_known_target` to all that a program, as JSON, calls or passes on to be called."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key in ("target", "as_operator") and isinstance(one, str):
                require_known_target(one)
            else:
                require_known_targets(one)
    elif isinstance(value, list):
        for one in value:
            require_known_targets(one)


def _check_code(code: str) -> None:
    found = set(DOTTED.findall(code)) & _registered() - OPERATORS
    found |= set(ELSEWHERE.findall(code)) | ({CLASSES.decode()} if CLASSES.decode() in code else set())
    if found:
        raise ValueError(f"it calls {min(found)!r}, which none that bst writes does")


@cache
def _registered() -> frozenset[str]:
    """The names of all operators that TorchScript knows in this process."""
    return frozenset(schema.name.split("::")[-1] for schema in torch._C._jit_get_all_schemas())
