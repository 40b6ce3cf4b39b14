"""The likeness of a run and a bundle that it shall replace: callers of the bundle must not notice."""

from __future__ import annotations

from typing import Any

from bst.config import INPUT_GROUPS, BSTConfig
from bst.errors import InputError
from bst.run.folder import Run
from export.contract.manifest import Manifest


def require_likeness(run: Run, like: Manifest) -> None:
    """Refuse a run whose graphs or inputs would be others than those of a bundle.

    Raises:
        InputError: the message has all differences.
    """
    new_sizes, old_sizes = _architecture(run.config.model), _architecture(like.model)
    triples = ((name, size, old_sizes[name]) for name, size in new_sizes.items())
    differing = [f"{name} is {here}, in the bundle {there}" for name, here, there in triples if here != there]
    vocabularies = {"item": (run.vocabularies.items, like.items)}
    for group in INPUT_GROUPS:
        old_ones = like.vocabularies_of(group)
        of_group = run.vocabularies.of(group).items()
        vocabularies |= {name: (new, old_ones[name]) for name, new in of_group if name in old_ones}
    for name, (new, old) in vocabularies.items():
        # Callers pad with that value, so its meaning must not change.
        pairs = ((f"dtype of {name} ids", new.dtype, old.dtype), (f"padding of {name} ids", new.padding, old.padding))
        differing += [f"{what} is {here!r}, in the bundle {there!r}" for what, here, there in pairs if here != there]
    if differing:
        raise InputError(f"the run is of another architecture than the bundle: {'; '.join(differing)}; use --out")


def _architecture(config: BSTConfig) -> dict[str, Any]:
    """Return what graphs are made of, and callers rely on: all but the numbers of ids, and what training leaves out."""
    values = config.model_dump(mode="json", exclude={"num_items", "dropout", "id_dropout", "init_method"})
    values["context"] = [(feature.name, feature.dim) for feature in config.context]
    values["event_features"] = [feature.name for feature in config.event_features]
    values["numbers"] = [number.name for number in config.numbers]
    values["candidate_features"] = [feature.name for feature in config.candidate_features]
    return values
