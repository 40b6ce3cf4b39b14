"""The callable faces of a model: what goes in, what comes out, by name, dtype and named axes.

The names are API: renaming one breaks every caller in every language.
"""

from __future__ import annotations

from typing import Literal

from bst.config import BSTConfig, Frozen
from bst.vocabulary import Vocabularies

Dtype = Literal["int64", "float32", "string"]
Ids = Literal["raw", "index"]
SIGNATURE_NAMES = ("all_scores", "top_k")


class TensorSpec(Frozen):
    """One input or output. An axis is a fixed size, or a name where any size from 1 up is accepted."""

    name: str
    dtype: Dtype
    shape: tuple[int | str, ...]


class Signature(Frozen):
    """One callable face. Inputs and outputs are in the order of the exported function."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.outputs)


def build_signatures(config: BSTConfig, vocabularies: Vocabularies, *, k: int, ids: Ids) -> tuple[Signature, ...]:
    """Describe the signatures of a model. With `ids="index"` inputs and results are indices instead of raw ids."""
    item_dtype: Dtype = vocabularies.items.dtype if ids == "raw" else "int64"
    if ids == "raw":
        context = tuple(
            TensorSpec(name=name, dtype=one.dtype, shape=("batch",)) for name, one in vocabularies.context.items()
        )
        inputs = (TensorSpec(name="history", dtype=item_dtype, shape=("batch", "length")), *context)
    else:
        context = (TensorSpec(name="context", dtype="int64", shape=("batch", len(config.context))),)
        items = TensorSpec(name="items", dtype="int64", shape=("batch", "length"))
        inputs = (items, *(context if config.context else ()))
    found = "item_ids" if ids == "raw" else "item_indices"
    outputs = {
        "all_scores": (TensorSpec(name="scores", dtype="float32", shape=("batch", config.num_items)),),
        "top_k": (
            TensorSpec(name=found, dtype=item_dtype, shape=("batch", k)),
            TensorSpec(name="scores", dtype="float32", shape=("batch", k)),
        ),
    }
    return tuple(Signature(name=name, inputs=inputs, outputs=outputs[name]) for name in SIGNATURE_NAMES)
