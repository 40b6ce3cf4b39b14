"""Rules for the archives that torch reads: plain members, and programs of nothing but the operators that bst writes.

A program is code. These rules keep that code to arithmetic on tensors: it opens no file and starts no process. They
list the allowed operators and, for torch.export, whose reader makes Python of names, sizes and trees, the form of every
text; the rest is refused. They do not bound time and memory, and there is no such rule for machine code (AOTInductor).
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from bst.system.plain_tensors import require_one_reading
from export.guards.script_pickles import require_stored

UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
ZIP_MAGIC = b"PK\x03\x04"
UNPACKED_BYTES = 2**28  # of all compressed members together; weights are stored as they are
# All members that TorchScript writes. Its readers would take code from others too.
SCRIPT_MEMBER = re.compile(
    r"code/.+\.py(\.debug_pkl)?|(data|constants)/\d+|(data|constants)\.pkl|extra/[\w.]+"
    r"|version|\.data/version|byteorder|\.data/serialization_id"
)
# Code that runs while an archive is read: methods that restore an object, and objects of C++.
AT_READING = re.compile(rb"__setstate__|\btorch\s*[.\n]\s*classes\b")
# Texts that could split a name in TorchScript's code, or hide the end of a text; TorchScript itself writes none.
SPLITTING = re.compile(rb"\\\s|#|'|\"\"\"")
# torch reads code, and goes from one method to the next, by recursion: a stack of 8 MB takes 4,000 levels of it. What
# bst writes has 27,000 bytes, 60 methods, and 250 characters a statement; no level takes less than one of them.
CODE_BYTES, METHODS, STATEMENT, INDENT = 2**18, 300, 2000, 100
TEXT, BRACKET = re.compile(r'"(?:[^"\\\n]|\\.)*"'), re.compile(r"[(\[{\n)\]}]")
# The operators of the model, by their names in TorchScript and torch.export.
OPERATORS = frozenset(
    """
    add sub mul div floordiv neg matmul linear sum cumsum softmax sigmoid layer_norm relu relu_ leaky_relu
    leaky_relu_ gelu dropout dropout_ embedding searchsorted tanh sqrt mean topk scatter_reduce scatter_add gather where
    masked_fill abs full_like new_zeros zeros zeros_like ones ones_like arange tensor eq ne lt le gt ge logical_not
    bitwise_not __and__ __or__ __not__ __isnot__ __is__ __contains__ clamp stack cat chunk split slice select index
    index_select narrow pad squeeze unsqueeze transpose flatten unflatten expand reshape view contiguous clone
    detach alias to tolist item size sym_size len append get copy _set_item keys values items format warn real dtype dim
    device RaiseException _assert_tensor_metadata _assert_scalar sym_constrain_range_for_size
    """.split()  # noqa: SIM905  a hundred words in quotes are hard to read
)
# The structural nodes of a TorchScript program.
GLUE = frozenset(
    """
    Constant GetAttr If Loop ListConstruct ListUnpack TupleConstruct TupleUnpack TupleIndex DictConstruct
    unchecked_cast Uninitialized Int Float Bool __getitem__
    """.split()  # noqa: SIM905
)
KNOWN_NAMES = OPERATORS | GLUE
# The texts of torch.export programs, by key; under any other key, a text is a name.
NAME = re.compile(r"[^\W\d]\w*(\.\w+)*")
TEXTS = {
    "fqn": re.compile(rf"({NAME.pattern})?"),
    "as_float": re.compile(r"-?Infinity"),
    "as_string": re.compile(r"\w+|Runtime assertion failed for expression [\w <>=!+*/,().-]+ on node '\w+'"),
    "nn_module_stack": re.compile(r"[\w.,;@<>]+"),
    "path_name": re.compile(r"(weight|tensor)_[0-9]+"),
    "torch_version": re.compile(r"[\w.+]+"),
}
SYMBOL = r"Symbol\('[su][0-9]{1,6}'(, (positive|nonnegative|integer)=True)*\)"
# The only power that bst writes is the square of a size. A power of numbers would be computed, however long that takes.
LENGTH = rf"({SYMBOL}|Add\({SYMBOL}, Integer\(1\)\))"  # of a history, or with a candidate behind it
SIZE = re.compile(rf"Integer\(-?[0-9]{{1,19}}\)|{SYMBOL}|Pow\(Max\(Integer\(1\), {LENGTH}\), Integer\(2\)\)", re.ASCII)
SIZE_OF_SIZES = re.compile(
    r"(Add|Mul|Max|Min|Mod|FloorDiv|LessThan|GreaterThan|StrictLessThan|StrictGreaterThan|Equality|Unequality)"
    r"\(@(, @)*\)"
)
LEAF: dict[str, Any] = {"type": None, "context": None, "children_spec": []}
NO_KEYWORDS = {"type": "builtins.dict", "context": "[]", "children_spec": []}
ARITHMETIC = frozenset(("add", "sub", "mul", "floordiv", "mod", "neg", "eq", "ne", "lt", "le", "gt", "ge"))


def require_plain(path: Path) -> None:
    """Refuse an archive whose members have odd names, are repeated or unpack to too much, or whose directory torch
    would read differently.

    Raises:
        ValueError: the message names the member; or another of `UNREADABLE`, where it is no archive at all.
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
    if len({name.casefold() for name in names}) < len(names):  # torch ignores the case of members
        raise ValueError("a member comes twice")
    packed = [member for member in members if member.compress_type != zipfile.ZIP_STORED]
    if sum(member.file_size for member in packed) > UNPACKED_BYTES:
        raise ValueError(f"it unpacks to more than {UNPACKED_BYTES:,} bytes")
    if sum(member.file_size for member in members if member not in packed) > path.stat().st_size:
        raise ValueError("its members are larger than itself")
    require_one_reading(path, members)


def require_inert(path: Path) -> None:
    """Refuse a TorchScript archive that is not plain, or that would execute something while it is read.

    Raises:
        ValueError: the message names the member and its content; others as `require_plain`.
    """
    require_plain(path)
    with zipfile.ZipFile(path) as archive:
        sizes = {member.filename.partition("/")[2]: member.file_size for member in archive.infolist()}
    reader = torch._C.PyTorchFileReader(str(path))
    code = b""
    for name in reader.get_all_records():
        if not SCRIPT_MEMBER.fullmatch(name):
            raise ValueError(f"its member {name!r} is none that TorchScript writes")
        if name.endswith(("py", "pkl")):
            data = reader.get_record(name)
            match = AT_READING.search(data) or (SPLITTING.search(data) if name.endswith("py") else None)
            if match:
                raise ValueError(f"{name} holds {match.group().decode()!r}, which none that bst writes does")
            code += data if name.endswith("py") else b""
        if name.endswith("pkl"):
            folder = name.removesuffix(".pkl") + "/"
            stored = {key.removeprefix(folder): size for key, size in sizes.items() if key.startswith(folder)}
            try:
                require_stored(data, stored)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    _require_shallow(code)


def require_arithmetic(module: Any) -> None:
    """Refuse a TorchScript module that calls an operator outside those of our models, in any method of any part of it.

    The graph that torch built from the code is checked, not the code.

    Raises:
        ValueError: the message names the operator.
    """
    for part in module.modules():
        for name in part._c._method_names():
            _require_known_nodes(part._c._get_method(name).inlined_graph)


def require_known_target(target: str) -> None:
    """Refuse an operator of a torch.export program, such as `torch.ops.aten.add.Tensor`, outside those of our models.

    torch looks the name up in everything that the modules `torch` and `operator` can reach, and calls the result.

    Raises:
        ValueError: the message names it.
    """
    parts = target.split(".")
    aten = len(parts) == 5 and parts[:3] == ["torch", "ops", "aten"] and parts[3] in OPERATORS
    if not (aten or (len(parts) == 2 and parts[0] == "_operator" and parts[1] in ARITHMETIC)):
        raise ValueError(f"it calls {target!r}, which none that bst writes does")


def plain_program(data: bytes) -> bytes:
    """Return a torch.export program, as JSON, without its guards, which are Python, and without the metadata of its
    nodes other than their modules.

    Raises:
        ValueError: it holds a text that bst does not write there; the message names it.
    """
    program = json.loads(data)
    program.pop("guards_code", None)
    for node in program["graph_module"]["graph"]["nodes"]:
        node["metadata"] = {key: text for key, text in node["metadata"].items() if key == "nn_module_stack"}
    _require_plain_texts(program)
    return json.dumps(program).encode()


def require_plain_payloads(data: bytes) -> None:
    """Refuse a list of weights or constants, as JSON, that names anything but plainly stored tensors.

    Raises:
        ValueError: names it.
    """
    values = json.loads(data)
    for entry in values["config"].values():
        path = entry["path_name"]
        if entry["use_pickle"] or entry["tensor_meta"] is None or not TEXTS["path_name"].fullmatch(path):
            raise ValueError(f"{path} is pickled, which nothing that bst writes is")
    _require_plain_texts(values)


def _require_plain_texts(value: Any, key: str = "") -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _require_plain_text(name, "key")
            _require_plain_texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            _require_plain_texts(inner, key)
    elif isinstance(value, str):
        _require_plain_text(value, key)


def _require_plain_text(text: str, key: str) -> None:
    if key in ("target", "as_operator"):
        require_known_target(text)
        return
    if key == "expr_str":
        is_plain = _is_size(text)
    elif key in ("in_spec", "out_spec"):
        is_plain = _is_tree_of_tuples(json.loads(text))
    else:
        is_plain = TEXTS.get(key, NAME).fullmatch(text) is not None
    if not is_plain:
        raise ValueError(f"it holds {text!r} as {key}, which none that bst writes does")


def _is_size(text: str) -> bool:
    """Return whether it is an expression of sizes as torch writes it; torch evaluates such as Python."""
    if "@" in text:
        return False
    before, text = text, SIZE.sub("@", text)
    while before != text:  # from the inside out
        before, text = text, SIZE_OF_SIZES.sub("@", text)
    return text == "@"


def _is_tree_of_tuples(spec: Any) -> bool:
    """Return whether it is a nesting of arguments or outputs; torch imports what else such a spec may hold."""

    def fits(node: Any) -> bool:
        if node in (LEAF, NO_KEYWORDS):
            return True
        inner = node["children_spec"] if isinstance(node, dict) and "children_spec" in node else None
        tuples = {"type": "builtins.tuple", "context": "null", "children_spec": inner}
        return isinstance(inner, list) and node == tuples and all(map(fits, inner))

    return isinstance(spec, list) and len(spec) == 2 and spec[0] == 1 and fits(spec[1])


def _require_shallow(code: bytes) -> None:
    """Refuse code on which torch might hang: a statement too long, blocks too deep, or too many methods."""
    bare = TEXT.sub("", code.decode())
    if odd := re.search(r'["\\]|\belif\b', bare):
        raise ValueError(f"its code holds {odd.group()!r}, which none that bst writes does")
    depth, start, longest = 0, 0, 0
    for match in BRACKET.finditer(bare + "\n"):
        if match.group() == "\n" and depth == 0:
            longest, start = max(longest, match.start() - start), match.end()
        elif match.group() != "\n":
            depth += 1 if match.group() in "([{" else -1
        if depth < 0:
            break
    if depth != 0:
        raise ValueError("its code has brackets that do not match")
    methods = len(re.findall(r"\bdef\b", bare))
    deep = re.search(rf"^[^\S\n]{{{INDENT}}}", bare, re.MULTILINE)
    if len(code) > CODE_BYTES or methods > METHODS or longest > STATEMENT or deep:
        raise ValueError(
            f"its code has {len(code):,} bytes, {methods} methods, statements of up to {longest:,} characters"
            f"{', and deep blocks' if deep else ''}, as no model has"
        )


def _require_known_nodes(block: Any) -> None:
    for node in block.nodes():
        namespace, name = node.kind().split("::")
        if namespace not in ("aten", "prim") or name not in KNOWN_NAMES:
            raise ValueError(f"it calls {node.kind()!r}, which none that bst writes does")
        for inner in node.blocks():
            _require_known_nodes(inner)
