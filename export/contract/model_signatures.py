"""The signatures that a model has: their names, and their descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bst.config import BSTConfig, InputGroup
from bst.data.vocabulary import Vocabularies
from bst.errors import InputError
from export.contract.signatures import (
    CLICK,
    ENCODE_USER,
    FROM_USER,
    SCORE_CANDIDATES,
    SIGNATURES,
    USER_VECTOR,
    Dtype,
    Ids,
    Signature,
    SignatureKind,
    Sizes,
    TensorSpec,
    TopK,
    signatures_of_task,
)


def signatures_of(config: BSTConfig) -> tuple[str, ...]:
    """Return the names of the signatures that a model has."""
    once = config.scores_catalogue or (config.history_once and not config.sequences)
    names = signatures_of_task(config.task)
    return tuple(name for name in names if once or not SIGNATURES.find(name).needs_history_once)


def require_signatures(names: Sequence[str], config: BSTConfig, remedy: str = "give --signatures") -> None:
    """Refuse signatures that a model does not have.

    Args:
        remedy: the words before the names of those that it has.

    Raises:
        InputError: the message says why it does not have one, and names those that it has.
    """
    for name in names:
        tasks = SIGNATURES.find(name).tasks
        if name in signatures_of(config):
            continue
        if config.scores_catalogue:
            of_next_items = ",".join(signatures_of(config))
            reason = f"is of click models, and this is one of task {config.task!r}; {remedy} {of_next_items}"
        elif CLICK in tasks and config.sequences:
            read = ", ".join(sequence.name for sequence in config.sequences)
            reason = f"keeps one history, and this model reads {read} beside it; {remedy} {SCORE_CANDIDATES}"
        elif CLICK in tasks:
            reason = (
                "keeps a history that no candidate changes, and this model computes it anew for each: "
                f"mask={config.mask!r}, num_blocks={config.num_blocks}, pooling={config.pooling!r}; "
                f"{remedy} {SCORE_CANDIDATES}"
            )
        else:
            reason = (
                f"needs scores of a whole catalogue, and a model of task {config.task!r} scores the candidates that a "
                f"caller lists; {remedy} {SCORE_CANDIDATES}"
            )
        raise InputError(f"signature {name!r} {reason}")


def require_exportable(names: Sequence[str], config: BSTConfig) -> None:
    """Refuse signatures that a model does not have, and a click model's `encode_user` without the signature that reads
    its vectors, or that one alone: they are proven together.

    Raises:
        InputError: as `require_signatures`, or the message names the one that is missing.
    """
    require_signatures(names, config)
    pair = (ENCODE_USER, FROM_USER)
    missing = [name for name in pair if name not in names]
    if not config.scores_catalogue and len(missing) == 1:
        raise InputError(f"signatures {' and '.join(pair)} of a click model are proven together; add {missing[0]}")


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
    width = config.user_width if config.scores_catalogue else sum(parts_of_user_vector(config))
    vector = TensorSpec(name=USER_VECTOR, dtype="float32", shape=("batch", width))
    sizes = Sizes(config.num_items, width, top_k, gives_probabilities=not config.scores_catalogue)

    def described(kind: SignatureKind) -> Signature:
        asks = kind.picks and top_k.k_is_input
        of_user = (*user, *(of_candidates if kind.takes_candidates else ()))
        if kind.takes_user_vector:
            of_user = (*of_candidates, vector)  # ids stand first in every signature
        return Signature(
            name=kind.name,
            ids=ids,
            inputs=(*of_user, *((count,) if asks else ())),
            outputs=kind.outputs(sizes, ids, item_dtype),
            max_k=top_k.limit if asks else None,
        )

    return tuple(described(SIGNATURES.find(name)) for name in names or signatures_of(config))


def _specs(group: InputGroup, config: BSTConfig, vocabularies: Vocabularies, ids: Ids) -> Iterator[TensorSpec]:
    """Describe the inputs of a group: one tensor by index, one an input with raw ids."""
    dtype: Dtype = "float32" if group.holds == "numbers" else "int64"
    if ids == "index":
        yield TensorSpec(name=group.name, dtype=dtype, shape=group.axes(config))
        return
    of_categories = vocabularies.of(group)
    for name in group.names(config):
        yield TensorSpec(name=name, dtype=of_categories[name].dtype if of_categories else dtype, shape=group.input_axes)


def parts_of_user_vector(config: BSTConfig) -> tuple[int, ...]:
    """Return the widths of the parts of a click model's user vector, in their order.

    They are: what the first layer of the head adds for the user; for each of `max_length` slots 1 if an event stands
    there, else 0; the sum of the states of the history, if the model pools them; and of each block the keys and then
    the values `[num_heads, max_length, dim / num_heads]`. Shorter histories stand in the last slots, and all is 0 in
    the others.
    """
    summed = () if config.pooling == "target" else (config.dim,)
    of_blocks = [config.max_length * config.dim] * 2 * config.num_blocks
    return (config.head_sizes[1], config.max_length, *summed, *of_blocks)


def can_hold_raw_ids(vocabularies: Vocabularies) -> bool:
    """Return whether raw ids can go through tensors alone: none of them is text."""
    return all(vocabulary.dtype == "int64" for vocabulary in vocabularies.all)
