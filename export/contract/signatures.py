"""The callable faces of a model: inputs and outputs by name, dtype and named axes.

The names are API: renaming one breaks every caller in every language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from bst.config import BSTConfig, Frozen, InputGroup
from bst.data.vocabulary import Vocabularies
from bst.errors import InputError
from bst.system.registry import Registry

Dtype = Literal["int64", "float32", "string"]
Ids = Literal["raw", "index"]
IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]*")
NEXT_ITEM, CLICK = "next_item", "click"

PROBABILITIES = "probabilities"
# The output of the first times the output layer is the output of the second: together they prove its place.
OF_OUTPUT_LAYER = ("encode_user", "all_scores")


class TopK(Frozen):
    """The rule of `top_k`.

    Attributes:
        limit: the number of items; the largest k, if `k_is_input`.
        k_is_input: k is an input of every call, int64 `[1]`.
        exclude_history: items of the whole history are left out, also those beyond the newest `max_length`. Where fewer
            than k items remain, the last places hold the padding id and a score of -inf. If it is not given, an
            export follows the metrics of the run.
    """

    limit: Annotated[int, Field(ge=1)] = 10
    k_is_input: bool = False
    exclude_history: bool = False

    def as_measured(self, filter_seen: bool | None) -> Self:
        """Leave out the history, or not, as the metrics of a run did, unless that is set already."""
        if filter_seen is None or "exclude_history" in self.model_fields_set:
            return self
        return self.model_copy(update={"exclude_history": filter_seen})


class TensorSpec(Frozen):
    """One input or output. An axis is a fixed size, or a name where any size from 1 up is accepted."""

    name: str
    dtype: Dtype
    shape: tuple[int | str, ...]


class Signature(Frozen):
    """One callable face. Inputs and outputs are in the order of the exported function.

    With `ids="raw"` history and candidates are ids as they stand in the data, and every feature of events and of the
    request is an input. With `ids="index"` they are indices: `items`, `candidates`, and a tensor a group of
    `INPUT_GROUPS`. An input `k` lies between 1 and `max_k`.
    """

    name: str
    ids: Ids
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_k: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _names_are_identifiers(self) -> Self:
        names = [self.name, *(spec.name for spec in self.inputs)]
        for name in names:
            if not IDENTIFIER.fullmatch(name) or names.count(name) > 1:
                raise ValueError(f"a signature with {name!r} as a name cannot be called; export again")
        return self

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.outputs)

    @property
    def kind(self) -> SignatureKind:
        """The definition of signatures of this name.

        Raises:
            InputError: there is no definition.
        """
        return SIGNATURES.find(self.name)

    def takes(self, name: str) -> bool:
        return any(spec.name == name for spec in self.inputs)

    def __str__(self) -> str:
        inputs = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in self.inputs)
        return f"{self.name} takes {inputs}"


@dataclass(frozen=True)
class Sizes:
    """The sizes that decide the shapes of outputs."""

    num_items: int
    user_width: int
    top_k: TopK
    gives_probabilities: bool = False

    @property
    def k(self) -> int | str:
        """The number of items that `top_k` returns: a number, or an axis where the caller chooses it."""
        return "k" if self.top_k.k_is_input else self.top_k.limit


@dataclass(frozen=True)
class SignatureKind:
    """The definition of the signatures of a name. Add one to `SIGNATURES`, and every format exports it.

    Attributes:
        name: of the signature, and of the method that computes it: `Scorer.<name>`, or `method`.
        numbers: the name of the float32 output, and its second axis.
        sentence: its sentence in the README of a bundle.
        takes_candidates: the caller lists the items to score.
        picks: it returns items, best first: their ids before their scores; it can leave out the history, and returns
            the first k of them where k is an input.
        may_be_absent: a score may be -inf where there is nothing to score.
        ranked: the number of best scores that are compared as a ranking; all of them where it is None.
        of_catalogue: its numbers are scores of items, and errors are relative to the largest score of the catalogue;
            otherwise to its own largest number.
        tasks: of the models that have it (`Architecture.task`).
        method: a function of a `Scorer`, user vectors float32 `[batch, user_width]`, candidates int64 `[batch, n]` if
            it takes them, and seen items int64 `[batch, any]` if it picks; in the part of Python that TorchScript
            compiles.
    """

    name: str
    numbers: Callable[[Sizes], tuple[str, int | str]]
    sentence: Callable[[TopK], str]
    takes_candidates: bool = False
    picks: bool = False
    may_be_absent: bool = False
    ranked: int | None = 0
    of_catalogue: bool = True
    tasks: tuple[str, ...] = (NEXT_ITEM,)
    method: Callable[..., Any] | None = None

    def outputs(self, sizes: Sizes, ids: Ids, item_dtype: Dtype) -> tuple[TensorSpec, ...]:
        name, axis = self.numbers(sizes)
        numbers = TensorSpec(name=name, dtype="float32", shape=("batch", axis))
        if sizes.gives_probabilities:
            return TensorSpec(name=PROBABILITIES, dtype="float32", shape=("batch", axis)), numbers
        if not self.picks:
            return (numbers,)
        ids_name = "item_ids" if ids == "raw" else "item_indices"
        return TensorSpec(name=ids_name, dtype=item_dtype, shape=("batch", axis)), numbers


def require_signatures(names: Sequence[str], task: str, remedy: str = "give --signatures") -> None:
    """Refuse signatures that models of a task do not have.

    Args:
        remedy: the words before the names of those that it has.

    Raises:
        InputError: the message names those that it has.
    """
    of_task = signatures_of(task)
    for name in names:
        if SIGNATURES.find(name).name not in of_task:
            raise InputError(
                f"signature {name!r} needs scores of a whole catalogue, and a model of task {task!r} scores the "
                f"candidates that a caller lists; {remedy} {','.join(of_task)}"
            )


def signatures_of(task: str) -> tuple[str, ...]:
    """Return the names of the signatures that models of a task have."""
    return tuple(kind.name for kind in SIGNATURES if task in kind.tasks)


def _top_k_sentence(top_k: TopK) -> str:
    count = f"as many as its input `k` says, at most {top_k.limit}," if top_k.k_is_input else str(top_k.limit)
    left_out = "leaving out what the history holds" if top_k.exclude_history else "items of the history among them"
    return f"`top_k` gives {count} items, best first, {left_out}."


SIGNATURES: Registry[SignatureKind] = Registry(
    "signature",
    (
        SignatureKind(
            "all_scores",
            lambda sizes: ("scores", sizes.num_items),
            lambda top_k: "Column j of `all_scores` is the item with index j + 1.",
            ranked=10,
        ),
        SignatureKind(
            "top_k", lambda sizes: ("scores", sizes.k), _top_k_sentence, picks=True, may_be_absent=True, ranked=None
        ),
        SignatureKind(
            "score_candidates",
            lambda sizes: ("scores", "n"),
            lambda top_k: "An unknown candidate scores -inf.",
            takes_candidates=True,
            may_be_absent=True,
            ranked=None,
            tasks=(NEXT_ITEM, CLICK),
        ),
        SignatureKind(
            "encode_user",
            lambda sizes: ("user_vector", sizes.user_width),
            lambda top_k: "`user_vector` times an item's row of the output layer, plus the item's bias, is its score.",
            of_catalogue=False,
        ),
    ),
)


def build_signatures(
    config: BSTConfig,
    vocabularies: Vocabularies,
    names: Sequence[str] | None = None,
    *,
    top_k: TopK,
    ids: Ids,
) -> tuple[Signature, ...]:
    """Describe the signatures `names` of a model; all that its task has, if there are no names.

    Raises:
        InputError: a name is unknown.
    """
    item_dtype: Dtype = vocabularies.items.dtype if ids == "raw" else "int64"
    first = TensorSpec(name="history" if ids == "raw" else "items", dtype=item_dtype, shape=("batch", "length"))

    def specs(groups: Sequence[InputGroup]) -> Iterator[TensorSpec]:
        return (spec for group in groups for spec in _specs(group, config, vocabularies, ids))

    user = (first, *specs(config.inputs))
    candidates = TensorSpec(name="candidates", dtype=item_dtype, shape=("batch", "n"))
    of_candidates = (candidates, *specs(config.candidate_inputs))
    count = TensorSpec(name="k", dtype="int64", shape=(1,))
    sizes = Sizes(config.num_items, config.user_width, top_k, gives_probabilities=not config.scores_catalogue)

    def described(kind: SignatureKind) -> Signature:
        asks = kind.picks and top_k.k_is_input
        return Signature(
            name=kind.name,
            ids=ids,
            inputs=(*user, *(of_candidates if kind.takes_candidates else ()), *((count,) if asks else ())),
            outputs=kind.outputs(sizes, ids, item_dtype),
            max_k=top_k.limit if asks else None,
        )

    return tuple(described(SIGNATURES.find(name)) for name in names or signatures_of(config.task))


def _specs(group: InputGroup, config: BSTConfig, vocabularies: Vocabularies, ids: Ids) -> Iterator[TensorSpec]:
    """Describe the inputs of a group: one tensor by index, one an input with raw ids."""
    dtype: Dtype = "float32" if group.holds == "numbers" else "int64"
    if ids == "index":
        yield TensorSpec(name=group.name, dtype=dtype, shape=group.axes(config))
        return
    of_categories = vocabularies.of(group)
    for name in group.names(config):
        yield TensorSpec(name=name, dtype=of_categories[name].dtype if of_categories else dtype, shape=group.input_axes)


def can_hold_raw_ids(vocabularies: Vocabularies) -> bool:
    """Return whether raw ids can go through tensors alone: none of them is text."""
    return all(vocabulary.dtype == "int64" for vocabulary in vocabularies.all)
