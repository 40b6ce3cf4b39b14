"""The callable faces of a model: what goes in, what comes out, by name, dtype and named axes.

The names are API: renaming one breaks every caller in every language.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bst.config import INPUT_WORDS, OTHER_WORDS, BSTConfig, Frozen, is_plain_name
from bst.data.vocabulary import Vocabularies

Dtype = Literal["int64", "float32", "string"]
Ids = Literal["raw", "index"]
SignatureName = Literal["all_scores", "top_k", "score_candidates", "encode_user"]
SIGNATURE_NAMES: tuple[SignatureName, ...] = ("all_scores", "top_k", "score_candidates", "encode_user")

# The product of what the one gives with the output layer is what the other gives: together they prove where it lies.
OF_OUTPUT_LAYER: tuple[SignatureName, SignatureName] = ("encode_user", "all_scores")


class TopK(Frozen):
    """How `top_k` picks.

    Attributes:
        limit: how many items it gives; the most that may be asked for, if `k_is_input`.
        k_is_input: the caller states k at every call, as an input `k`, int64 `[1]`.
        exclude_history: items of the history are left out, whole, also those beyond the newest `max_length`. Where
            fewer than k remain, the last places hold the padding id and a score of -inf.
    """

    limit: Annotated[int, Field(ge=1)] = 10
    k_is_input: bool = False
    exclude_history: bool = False


class TensorSpec(Frozen):
    """One input or output. An axis is a fixed size, or a name where any size from 1 up is accepted."""

    name: str
    dtype: Dtype
    shape: tuple[int | str, ...]


class Signature(Frozen):
    """One callable face. Inputs and outputs are in the order of the exported function.

    With `ids="raw"` history, context and candidates are ids as they stand in the data, one input a context feature.
    With `ids="index"` they are indices: `items`, `context`, `candidates`. An input `k` lies between 1 and `max_k`.
    """

    name: str
    ids: Ids
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_k: int | None = None

    @model_validator(mode="after")
    def _can_be_written_as_code(self) -> Self:
        """Refuse names that are none: eager runs source text that is made of them."""
        names = [self.name, *(spec.name for spec in self.inputs)]
        for name in names:
            if not is_plain_name(name) or name in OTHER_WORDS or names.count(name) > 1:
                raise ValueError(f"a signature with {name!r} as a name cannot be called; export again")
        return self

    @property
    def context(self) -> tuple[TensorSpec, ...]:
        """The inputs that hold context: one a feature, or one for all of them at index level."""
        return tuple(spec for spec in self.inputs[1:] if spec.name == "context" or spec.name not in INPUT_WORDS)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.outputs)

    def takes(self, name: str) -> bool:
        return any(spec.name == name for spec in self.inputs)

    def __str__(self) -> str:
        stated = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in self.inputs)
        return f"{self.name} takes {stated}"


def build_signatures(
    config: BSTConfig,
    vocabularies: Vocabularies,
    names: Sequence[SignatureName] = SIGNATURE_NAMES,
    *,
    top_k: TopK,
    ids: Ids,
) -> tuple[Signature, ...]:
    """Describe the signatures `names` of a model."""
    item_dtype: Dtype = vocabularies.items.dtype if ids == "raw" else "int64"
    user: tuple[TensorSpec, ...]
    if ids == "raw":
        features = vocabularies.context.items()
        history = TensorSpec(name="history", dtype=item_dtype, shape=("batch", "length"))
        user = (history, *(TensorSpec(name=name, dtype=one.dtype, shape=("batch",)) for name, one in features))
    else:
        items = TensorSpec(name="items", dtype="int64", shape=("batch", "length"))
        context = TensorSpec(name="context", dtype="int64", shape=("batch", len(config.context)))
        user = (items, context) if config.context else (items,)
    candidates = TensorSpec(name="candidates", dtype=item_dtype, shape=("batch", "n"))
    asked = (TensorSpec(name="k", dtype="int64", shape=(1,)),) if top_k.k_is_input else ()
    k: int | str = "k" if top_k.k_is_input else top_k.limit

    def scores(axis: int | str) -> TensorSpec:
        return TensorSpec(name="scores", dtype="float32", shape=("batch", axis))

    found = TensorSpec(name="item_ids" if ids == "raw" else "item_indices", dtype=item_dtype, shape=("batch", k))
    vector = TensorSpec(name="user_vector", dtype="float32", shape=("batch", config.user_width))
    inputs = {"top_k": (*user, *asked), "score_candidates": (*user, candidates)}
    outputs = {
        "all_scores": (scores(config.num_items),),
        "top_k": (found, scores(k)),
        "score_candidates": (scores("n"),),
        "encode_user": (vector,),
    }
    return tuple(
        Signature(
            name=name,
            ids=ids,
            inputs=inputs.get(name, user),
            outputs=outputs[name],
            max_k=top_k.limit if name == "top_k" and top_k.k_is_input else None,
        )
        for name in names
    )


def can_hold_raw_ids(vocabularies: Vocabularies) -> bool:
    """Whether raw ids can go through tensors alone: none of them is text."""
    return all(one.dtype == "int64" for one in (vocabularies.items, *vocabularies.context.values()))
