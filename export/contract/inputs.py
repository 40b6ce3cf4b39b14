"""What a session is given: brought to the stated dtypes where that loses nothing, or refused with all that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bst.errors import InputError
from export.contract.signatures import Signature, TensorSpec

Array = NDArray[Any]
Arrays = dict[str, Array]


def checked_inputs(signature: Signature, inputs: Mapping[str, Array]) -> Arrays:
    """Bring inputs to the stated dtypes where that loses nothing, and refuse everything else.

    Raises:
        InputError: an input is missing, unknown, empty, or of another kind or shape; all offenders are named.
    """
    names = [spec.name for spec in signature.inputs]
    offences = [f"{name} is missing" for name in names if name not in inputs]
    offences += [f"{name} is not an input" for name in inputs if name not in names]
    arrays: Arrays = {}
    sizes: dict[str, int] = {}
    for spec in signature.inputs:
        if spec.name in inputs:
            array = np.asarray(inputs[spec.name])
            found = _offences(spec, array, sizes)
            if not found and spec.name == "k" and not 1 <= int(array[0]) <= (signature.max_k or 0):
                found = [f"k is {array[0]}, not between 1 and {signature.max_k}"]
            offences += found
            if not found:
                arrays[spec.name] = array.astype(np.int64 if spec.dtype == "int64" else object)
    if offences:
        raise InputError(f"{'; '.join(offences)}; {signature}")
    return arrays


def _offences(spec: TensorSpec, array: Array, sizes: dict[str, int]) -> list[str]:
    integers = np.issubdtype(array.dtype, np.integer)
    texts = array.dtype.kind in "UO" and all(isinstance(value, str) for value in array.flat)
    if not (integers if spec.dtype == "int64" else texts):
        return [f"{spec.name} holds {array.dtype}, not {spec.dtype}"]
    if spec.dtype == "string" and not _is_unicode("".join(array.flat)):
        spoilt = next(value for value in array.flat if not _is_unicode(value))
        return [f"{spec.name} holds {spoilt!r}, which UTF-8 cannot write"]
    if spec.dtype == "int64" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        return [f"{spec.name} holds {array.max()}, beyond int64"]
    if array.ndim != len(spec.shape) or (array.size == 0 and 0 not in spec.shape):
        return [f"{spec.name} has shape {list(array.shape)}"]
    for axis, size in zip(spec.shape, array.shape, strict=True):
        expected = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
        if size != expected:
            return [f"{spec.name} has shape {list(array.shape)}, where {axis} is {expected}"]
    return []


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
