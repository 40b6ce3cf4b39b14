"""What may be in the archives that torch reads: plain members, no pickle of Python, no operator that no model needs.

A program is code. These rules keep that code to arithmetic on tensors: it opens no file and starts no process. They do
not bound the time and memory that it takes, and there is no such rule for machine code (AOTInductor).
"""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
ZIP_MAGIC = b"PK\x03\x04"
UNPACKED_BYTES = 2**28  # of all compressed members together; weights are stored as they are
# All that TorchScript writes. Its readers would take code from other places too.
SCRIPT_MEMBER = re.compile(
    r"[^/]+/(code/.+\.py(\.debug_pkl)?|(data|constants)/\d+|(data|constants)\.pkl|extra/[\w.]+"
    r"|version|byteorder|\.data/serialization_id)"
)
# What runs while an archive is read: methods that restore an object, and objects of C++.
AT_READING = re.compile(rb"__setstate__|\btorch\s*[.\n]\s*classes\b")
# What the model is made of, as TorchScript and torch.export call it.
OPERATORS = frozenset(
    """
    add sub mul div neg matmul linear sum cumsum softmax layer_norm relu relu_ leaky_relu leaky_relu_ dropout dropout_
    embedding searchsorted topk scatter_reduce where masked_fill full_like new_zeros zeros ones ones_like arange tensor
    eq ne lt le gt ge logical_not bitwise_not __and__ __or__ __not__ __isnot__ __is__ __contains__ clamp
    stack cat chunk split slice select index index_select narrow pad squeeze unsqueeze transpose flatten unflatten
    expand reshape view contiguous clone detach alias to tolist item size sym_size len append get keys values items
    format warn real dtype device RaiseException _assert_tensor_metadata _assert_scalar sym_constrain_range_for_size
    """.split()  # noqa: SIM905  ninety words, each in quotes, are no list that a person reads
)
# What holds a TorchScript program together.
GLUE = frozenset(
    """
    Constant GetAttr If Loop ListConstruct ListUnpack TupleConstruct TupleUnpack TupleIndex DictConstruct
    unchecked_cast Uninitialized Int Float Bool __getitem__
    """.split()  # noqa: SIM905
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


def require_inert(path: Path) -> None:
    """Refuse a TorchScript archive that is not plain, or that would run something while it is read.

    Raises:
        ValueError: names the member and what it holds; others as `require_plain`.
    """
    require_plain(path)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not SCRIPT_MEMBER.fullmatch(name):
                raise ValueError(f"its member {name!r} is none that TorchScript writes")
            if name.endswith(("py", "pkl")) and (found := AT_READING.search(archive.read(name))):
                raise ValueError(f"{name} holds {found.group().decode()!r}, which none that bst writes does")


def require_arithmetic(module: Any) -> None:
    """Refuse a TorchScript module that calls an operator that no model of ours needs, in any method of any part of it.

    This asks what torch made of the code, not the code.

    Raises:
        ValueError: names the operator.
    """
    for part in module.modules():
        for name in part._c._method_names():
            _require_known_nodes(part._c._get_method(name).inlined_graph)


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


def _require_known_nodes(block: Any) -> None:
    for node in block.nodes():
        namespace, name = node.kind().split("::")
        if namespace not in ("aten", "prim") or name not in OPERATORS | GLUE:
            raise ValueError(f"it calls {node.kind()!r}, which none that bst writes does")
        for inner in node.blocks():
            _require_known_nodes(inner)
