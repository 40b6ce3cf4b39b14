"""The callable faces of a model: inputs and outputs by name, dtype and named axes.

The names are API: renaming one breaks every caller in every language.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from bst.config import Frozen
from bst.system.registry import Registry

Dtype = Literal["int64", "float32", "string"]
Ids = Literal["raw", "index"]
IDENTIFIER = re.compile("[A-Za-z_][A-Za-z0-9_]*")
NEXT_ITEM, CLICK = "next_item", "click"

PROBABILITIES = "probabilities"
USER_VECTOR = "user_vector"
SCORE_CANDIDATES, ENCODE_USER, FROM_USER = "score_candidates", "encode_user", "score_candidates_from_user"
# The output of the first times the output layer is the output of the second: together they prove its place.
OF_OUTPUT_LAYER = (ENCODE_USER, "all_scores")


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
        sentence: its sentence in the README of a bundle; `sentence_of_clicks` that of a click model, where it is
            another.
        takes_candidates: the caller lists the items to score.
        takes_user_vector: the caller gives what `encode_user` gave, in place of a history and what stands beside it.
        needs_history_once: of click models, only those have it whose history no candidate changes.
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
    takes_user_vector: bool = False
    needs_history_once: bool = False
    picks: bool = False
    may_be_absent: bool = False
    ranked: int | None = 0
    of_catalogue: bool = True
    tasks: tuple[str, ...] = (NEXT_ITEM,)
    method: Callable[..., Any] | None = None
    sentence_of_clicks: str = ""

    def described(self, top_k: TopK, task: str) -> str:
        """Return its sentence in the README of a bundle."""
        return (task == CLICK and self.sentence_of_clicks) or self.sentence(top_k)

    def outputs(self, sizes: Sizes, ids: Ids, item_dtype: Dtype) -> tuple[TensorSpec, ...]:
        name, axis = self.numbers(sizes)
        numbers = TensorSpec(name=name, dtype="float32", shape=("batch", axis))
        if sizes.gives_probabilities and self.takes_candidates:
            return TensorSpec(name=PROBABILITIES, dtype="float32", shape=("batch", axis)), numbers
        if not self.picks:
            return (numbers,)
        ids_name = "item_ids" if ids == "raw" else "item_indices"
        return TensorSpec(name=ids_name, dtype=item_dtype, shape=("batch", axis)), numbers


def signatures_of_task(task: str) -> tuple[str, ...]:
    """Return the names of all signatures that models of a task may have."""
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
            SCORE_CANDIDATES,
            lambda sizes: ("scores", "n"),
            lambda top_k: "An unknown candidate scores -inf.",
            takes_candidates=True,
            may_be_absent=True,
            ranked=None,
            tasks=(NEXT_ITEM, CLICK),
        ),
        SignatureKind(
            ENCODE_USER,
            lambda sizes: (USER_VECTOR, sizes.user_width),
            lambda top_k: "`user_vector` times an item's row of the output layer, plus the item's bias, is its score.",
            sentence_of_clicks="Keep `user_vector` between requests: it is all that is read of a user.",
            needs_history_once=True,
            of_catalogue=False,
            tasks=(NEXT_ITEM, CLICK),
        ),
        SignatureKind(
            FROM_USER,
            lambda sizes: ("scores", "n"),
            lambda top_k: "`score_candidates_from_user` gives what `score_candidates` gives, and reads no history.",
            takes_candidates=True,
            takes_user_vector=True,
            needs_history_once=True,
            may_be_absent=True,
            ranked=None,
            tasks=(CLICK,),
        ),
    ),
)
