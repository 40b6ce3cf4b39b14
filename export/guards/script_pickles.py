"""Rules for the pickles of a TorchScript archive, because torch's reader trusts every number in them.

It would lay a tensor of any size over the stored bytes, allocate as much memory as the pickle states for a text or a
place in the memo, and follow nesting by recursion. So every pickle is walked here first, as that reader would, and
limited to what TorchScript writes for a model (torch/csrc/jit/serialization/pickler.cpp and unpickler.cpp).
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

DEPTH = 100  # of nesting
TYPE = re.compile(r"[\w., \[\]]{1,200}")  # as text, such as `Dict[str, int]`
ITEM_BYTES = {
    f"torch {name}Storage": size
    for size, names in {1: "Bool Byte Char", 2: "Short Half BFloat16", 4: "Int Float", 8: "Long Double"}.items()
    for name in names.split()
}
TENSOR, TYPED = "torch._utils _rebuild_tensor_v2", "torch.jit._pickle restore_type_tag"
CALLED = (TENSOR, TYPED, "torch.jit._pickle build_intlist", "collections OrderedDict")
VALUES = frozenset(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "NONE", "NEWTRUE", "NEWFALSE"))


@dataclass(frozen=True)
class Named:
    """A class or function."""

    name: str


@dataclass(frozen=True)
class Stored:
    """The stored numbers of tensors."""

    count: int


@dataclass(frozen=True)
class Made:
    """A value that holds others: `tuple`, `list`, `dict`, `new` (an object without its attributes) or `whole`."""

    kind: str
    parts: tuple[Any, ...] = ()
    depth: int = 1


@dataclass
class Walk:
    """The stack and memo of torch's reader.

    Attributes:
        sizes: bytes of each storage by its key.
    """

    sizes: Mapping[str, int]
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: list[Any] = field(default_factory=list)

    def pop(self, count: int) -> list[Any]:
        start = len(self.stack) - count
        _require(start >= (self.marks[-1] if self.marks else 0), "it takes more than there is")
        return self.pop_from(start)

    def pop_from(self, start: int) -> list[Any]:
        parts = self.stack[start:]
        del self.stack[start:]
        return parts

    def pop_marked(self) -> list[Any]:
        _require(bool(self.marks), "it takes more than there is")
        return self.pop_from(self.marks.pop())

    def push(self, kind: str, parts: Iterable[Any] = (), *, keep: bool = False) -> None:
        """Push a value that holds `parts`, which are kept only where a rule needs them."""
        values = tuple(parts)
        depth = 1 + max((part.depth for part in values if isinstance(part, Made)), default=0)
        _require(depth <= DEPTH, f"it is nested deeper than {DEPTH}")
        self.stack.append(Made(kind, values if keep else (), depth))

    def put(self, place: int) -> None:
        _require(place == len(self.memo) and bool(self.stack), f"its memo has no place {place:,}")
        self.memo.append(self.stack[-1])

    def get(self, place: int) -> None:
        _require(place < len(self.memo), f"its memo has no place {place:,}")
        value = self.memo[place]
        _require(isinstance(value, str | Named) or _is(value, "tuple"), "it names what may still change")
        self.stack.append(value)

    def fill(self, kind: str) -> None:
        parts = self.pop_marked()
        (container,) = self.pop(1)
        _require(_is(container, kind), f"it fills what is no {kind}")
        self.push(kind, (container, *parts))

    def make(self) -> None:
        named, arguments = self.pop(2)
        _require(isinstance(named, Named) and named.name.startswith("__torch__"), "it makes an object of no class")
        _require(_is(arguments, "tuple") and not arguments.parts, "it makes an object of something")
        self.push("new")

    def build(self) -> None:
        target, state = self.pop(2)
        _require(_is(target, "new") and _is(state, "dict"), "it restores what is no object")
        self.push("whole", (state,))

    def call(self) -> None:
        named, arguments = self.pop(2)
        is_allowed = isinstance(named, Named) and named.name in CALLED and _is(arguments, "tuple")
        _require(is_allowed, f"it calls {getattr(named, 'name', named)!r}")
        if named.name == TENSOR:
            self._require_inside(arguments.parts)
        if named.name == TYPED:
            typed = (
                len(arguments.parts) == 2 and isinstance(arguments.parts[1], str) and TYPE.fullmatch(arguments.parts[1])
            )
            _require(bool(typed), "it states an odd type")
        self.push("whole", (arguments,))

    def store(self) -> None:
        (reference,) = self.pop(1)
        match reference:
            case Made(parts=("storage", Named(kind), str(key), str(), int(count))) if kind in ITEM_BYTES:
                size, stated_bytes = self.sizes.get(key, 0), count * ITEM_BYTES[kind]
                _require(
                    stated_bytes == size,
                    f"storage {key} is {stated_bytes:,} bytes by the pickle, and {size:,} are there",
                )
                self.stack.append(Stored(count))
            case _:
                raise ValueError("it names no storage")

    def _require_inside(self, parts: tuple[Any, ...]) -> None:
        match parts:
            case (Stored(count), int(offset), Made("tuple", sizes), Made("tuple", strides), _, _):
                numbers = (offset, *sizes, *strides)
                whole = all(isinstance(number, int) and number >= 0 for number in numbers) and len(sizes) == len(
                    strides
                )
                _require(whole, "a tensor has odd sizes")
                last = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
                inside = prod(sizes) <= count and (0 in sizes or offset + last < count)
                _require(inside, f"a tensor of sizes {list(sizes)} is larger than its storage of {count:,} numbers")
            case _:
                raise ValueError("a tensor is made of something else")


STEPS: dict[str, Callable[[Walk, Any], None]] = {
    "PROTO": lambda walk, _: None,
    "STOP": lambda walk, _: _require(len(walk.stack) == 1 and not walk.marks, "it leaves more than one value"),
    "MARK": lambda walk, _: walk.marks.append(len(walk.stack)),
    "BINPUT": Walk.put,
    "LONG_BINPUT": Walk.put,
    "BINGET": Walk.get,
    "LONG_BINGET": Walk.get,
    "GLOBAL": lambda walk, name: walk.stack.append(Named(name)),
    "EMPTY_TUPLE": lambda walk, _: walk.push("tuple"),
    "TUPLE1": lambda walk, _: walk.push("tuple", walk.pop(1), keep=True),
    "TUPLE2": lambda walk, _: walk.push("tuple", walk.pop(2), keep=True),
    "TUPLE3": lambda walk, _: walk.push("tuple", walk.pop(3), keep=True),
    "TUPLE": lambda walk, _: walk.push("tuple", walk.pop_marked(), keep=True),
    "EMPTY_LIST": lambda walk, _: walk.push("list"),
    "APPENDS": lambda walk, _: walk.fill("list"),
    "EMPTY_DICT": lambda walk, _: walk.push("dict"),
    "SETITEMS": lambda walk, _: walk.fill("dict"),
    "NEWOBJ": lambda walk, _: walk.make(),
    "BUILD": lambda walk, _: walk.build(),
    "REDUCE": lambda walk, _: walk.call(),
    "BINPERSID": lambda walk, _: walk.store(),
}


def require_stored(data: bytes, sizes: Mapping[str, int]) -> None:
    """Refuse a pickle that TorchScript would not write, or that states more numbers than are stored.

    Args:
        data: the pickle.
        sizes: bytes of each storage by its key.

    Raises:
        ValueError: the message says why.
    """
    walk = Walk(sizes)
    for operation, value, _ in pickletools.genops(data):
        if operation.name in VALUES:
            walk.stack.append(value)
        elif operation.name in STEPS:
            STEPS[operation.name](walk, value)
        else:
            raise ValueError(f"it holds {operation.name}, which TorchScript does not write")


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, Made) and value.kind == kind


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)
