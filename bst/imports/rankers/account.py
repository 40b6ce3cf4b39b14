"""The account of an import: where every tensor went, where every setting came from, and what the import decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bst.errors import InputError

COUNTER = "num_batches_tracked"  # of a BatchNorm: of no use after training
SHOWN = 12  # names in a message
MOST_ROWS = 2**31  # of what stands in for a tensor that does not fit, whatever size a file states
Shape = Sequence[int | None]


class Account:
    """What an importer notes while it reads: it takes each tensor once, and collects all offences before it stops.

    Attributes:
        tensors: of the file, by name; `module.`, which several GPUs leave, is taken from the front of the names.
        moves: name, shape and new place of each tensor that was taken.
        settings: name, value and source of each setting.
        remarks: sentences for people.
        offences: what makes the import impossible.
    """

    def __init__(self, tensors: Mapping[str, Tensor], source: str) -> None:
        self.source = source
        parallel = bool(tensors) and all(name.startswith("module.") for name in tensors)
        self.tensors = {name.removeprefix("module.") if parallel else name: tensors[name] for name in tensors}
        self.moves: list[tuple[str, tuple[int, ...], str]] = []
        self.settings: list[tuple[str, str, str]] = []
        self.remarks: list[str] = []
        self.offences: list[str] = []
        self._left = dict(self.tensors)
        if parallel:
            self.remark("The names of the tensors begin with `module.`, which is left out: several GPUs trained it.")

    def take(self, name: str, shape: Shape, place: str) -> Tensor:
        """Give a tensor of the file, which is then used, and note its new `place`.

        `shape` has None for a size that only the file knows. A tensor that is missing or does not fit is an offence,
        and its place is filled with zeros that take no memory, of its own sizes where only the file knows them.
        """
        tensor = self._left.pop(name, None)
        if tensor is None:
            again = any(name == move[0] for move in self.moves)
            self.offences.append(f"{name} is wanted twice" if again else f"{name} is missing")
        else:
            self.moves.append((name, tuple(tensor.shape), place))
            problem = _problem(tensor, shape)
            if problem is None:
                return tensor
            self.offences.append(f"{name} {problem}")
        own = tensor.shape if tensor is not None and tensor.dim() == len(shape) else (1,) * len(shape)
        return torch.zeros(()).expand([min(size or other, MOST_ROWS) for size, other in zip(shape, own, strict=True)])

    def has(self, name: str) -> bool:
        return name in self.tensors

    def discard(self, name: str, reason: str) -> None:
        """Leave a tensor out on purpose."""
        self.moves.append((name, tuple(self._left.pop(name).shape), f"left out: {reason}"))

    def setting(self, name: str, value: Any, source: str) -> None:
        self.settings.append((name, str(value), source))

    def remark(self, sentence: str) -> None:
        if sentence not in self.remarks:
            self.remarks.append(sentence)

    def require_sound(self, *, complete: bool = False) -> None:
        """Stop unless everything fits so far.

        Args:
            complete: every tensor of the file must have a place by now.

        Raises:
            InputError: all offences in one message.
        """
        unused = list(self._left) if complete else []
        if unused:
            more = f" and {len(unused) - SHOWN} more" if len(unused) > SHOWN else ""
            self.offences.append(f"{', '.join(unused[:SHOWN])}{more} are no part of the model that the files describe")
        if offences := list(dict.fromkeys(self.offences)):
            raise InputError(f"{self.source} cannot be imported: {'; '.join(offences)}")


def is_whole(tensor: Tensor) -> bool:
    """Return whether a tensor holds all its numbers: one that repeats a number takes its full size when it is read."""
    here = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return here and tensor.nbytes <= tensor.untyped_storage().nbytes()


def _problem(tensor: Tensor, shape: Shape) -> str | None:
    """Say what is wrong with a tensor, if anything is."""
    fits = tensor.dim() == len(shape) and all(
        size in (None, actual) for size, actual in zip(shape, tensor.shape, strict=True)
    )
    if not fits:
        expected = ", ".join("any" if size is None else str(size) for size in shape)
        return f"is {list(tensor.shape)}, and [{expected}] fits the rest"
    if tensor.dtype != torch.float32:
        return f"is {tensor.dtype}, not float32"
    if not is_whole(tensor):
        return "does not hold all its numbers"
    if not bool(torch.isfinite(tensor).all()):
        return "holds NaN or inf"
    return None
