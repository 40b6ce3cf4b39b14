"""Inputs of a session: cast to the signature's dtypes where that loses nothing, refused otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bst.errors import InputError
from export.contract.signatures import Signature, TensorSpec

Array = NDArray[Any]
Arrays = dict[str, Array]
DTYPES: dict[str, Any] = {"int64": np.int64, "float32": np.float32, "string": object}
RAGGED = "has rows of different lengths: pad the shorter ones in front, with the padding id of the manifest"


def checked_inputs(signature: Signature, inputs: Mapping[str, Array]) -> Arrays:
    """Cast inputs to the signature's dtypes where that loses nothing, and refuse everything else.

    Raises:
        InputError: an input is missing, unknown, empty, or of another kind or shape; the message lists all of them.
    """
    names = [spec.name for spec in signature.inputs]
    offences = [f"{name} is missing" for name in names if name not in inputs]
    offences += [f"{name} is not an input" for name in inputs if name not in names]
    arrays: Arrays = {}
    sizes: dict[str, int] = {}
    for spec in signature.inputs:
        if spec.name in inputs:
            array = _array(spec, inputs[spec.name])
            offence = f"{spec.name} {RAGGED}" if array is None else _offence(spec, array, sizes)
            if array is None or offence:
                offences.append(offence)
            elif spec.name == "k" and not 1 <= int(array[0]) <= (signature.max_k or 0):
                offences.append(f"k is {array[0]}, not between 1 and {signature.max_k}")
            else:
                arrays[spec.name] = array.astype(DTYPES[spec.dtype])
    if offences:
        raise InputError(f"{'; '.join(offences)}; {signature}")
    return arrays


def _array(spec: TensorSpec, value: Any) -> Array | None:
    """Make an array of a value; None, if its rows have different lengths. NumPy alone would turn a NaN beside text into
    text."""
    try:
        array = np.asarray(value, dtype=object if spec.dtype == "string" else None)
    except ValueError:
        return None
    nested = array.dtype == object and any(isinstance(item, list | tuple | np.ndarray) for item in array.flat)
    return None if nested else array


def _offence(spec: TensorSpec, array: Array, sizes: dict[str, int]) -> str:
    """Describe the error of an input; empty, if there is none."""
    if spec.dtype == "string":
        if strangers := [value for value in array.flat if not isinstance(value, str)]:
            unknown = (
                " (text is '' where nothing is known)" if strangers[0] is None or strangers[0] != strangers[0] else ""
            )
            return f"{spec.name} holds {strangers[0]!r}, not string{unknown}"
        if not _is_unicode("".join(array.flat)):
            spoilt = next(value for value in array.flat if not _is_unicode(value))
            return f"{spec.name} holds {spoilt!r}, which UTF-8 cannot write"
    elif spec.dtype == "float32":
        if not (np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)):
            return f"{spec.name} holds {array.dtype}, not float32 (NaN where one is not known)"
        beyond = np.isfinite(array) & (np.abs(array.astype(np.float64)) > np.finfo(np.float32).max)
        if beyond.any():
            return f"{spec.name} holds {array[beyond][0]}, beyond float32 (NaN where one is not known)"
    elif not np.issubdtype(array.dtype, np.integer):
        empty = "; an empty history is one slot of the padding id" if array.size == 0 and spec.name == "history" else ""
        return f"{spec.name} holds {array.dtype}, not int64{empty}"
    elif array.size and int(array.max()) > np.iinfo(np.int64).max:
        return f"{spec.name} holds {array.max()}, beyond int64"
    if array.ndim != len(spec.shape) or (array.size == 0 and 0 not in spec.shape):
        return f"{spec.name} has shape {list(array.shape)}"
    for axis, size in zip(spec.shape, array.shape, strict=True):
        expected = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
        if size != expected:
            return f"{spec.name} has shape {list(array.shape)}, where {axis} is {expected}"
    return ""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
