"""`description.json`: what a model file of torch-rechub does not say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from bst.config import Frozen
from bst.errors import InputError
from bst.imports.rankers.account import Account
from bst.imports.rankers.files import read_json_file
from bst.system.validation import validated

DESCRIPTION = "description.json"
Feature = str | tuple[str, str | None]


class Description(Frozen):
    """The content of `description.json`.

    A feature is its name, or its name with that of the feature whose table it shares.

    Attributes:
        num_heads: of the attention.
        mlp_activation: `relu`, `leakyrelu`, `prelu`, `dice`, `sigmoid` or `softmax`.
        padding: the side of the padding, `pre` or `post`.
        length: that of the padded histories in training, without the target.
        history, target: in the order of their columns.
        context, dense: what else the head reads: categories, of which some may be target features, and numbers.
        padding_idx: of history features; None and 0 are the same here.
        item_id: the target feature that is the item.
        vocabularies: for each feature that owns a table, the file with the list of its raw ids, that of row 1 first.
    """

    library: str = "torch-rechub"
    version: str = ""
    num_heads: PositiveInt
    mlp_activation: Annotated[str, Field(min_length=1)]
    padding: Literal["pre", "post"]
    length: PositiveInt
    history: tuple[Feature, ...]
    target: tuple[Feature, ...]
    context: tuple[Feature, ...] = ()
    dense: tuple[str, ...] = ()
    padding_idx: dict[str, int | None] = Field(default={})
    item_id: str
    vocabularies: dict[str, str]

    @property
    def owners(self) -> dict[str, dict[str, str]]:
        """The feature whose table each feature reads, by role and name."""
        roles = {"history": self.history, "target": self.target, "context": self.context}
        pairs = {
            role: [(each, None) if isinstance(each, str) else each for each in features]
            for role, features in roles.items()
        }
        return {role: {name: owner or name for name, owner in own} for role, own in pairs.items()}

    def require_roles(self, account: Account) -> None:
        """Note the features that are missing, named twice or no ids of items, as offences."""
        owners = self.owners
        encoded, beside = _names((*self.history, *self.target)), [*_names(self.context), *self.dense]
        twice = {name for part in (encoded, beside) for name in part if part.count(name) > 1}
        twice |= {
            name
            for name in set(encoded) & set(beside)
            if owners["target"].get(name, "") != owners["context"].get(name)  # else the head reads a target again
        }
        account.offences += [f"{DESCRIPTION} names the feature {name} twice" for name in sorted(twice)]
        account.offences += [
            f"{DESCRIPTION} has no {role}" for role in ("history", "target") if not getattr(self, role)
        ]
        if self.item_id not in owners["target"]:
            targets = ", ".join(owners["target"])
            account.offences.append(f"item_id={self.item_id!r} is no target feature ({targets})")
        account.offences += [
            f"padding_idx={index} of {name}: index 0 is the padding of a model that can be imported"
            for name, index in self.padding_idx.items()
            if index not in (None, 0)
        ]


def _names(features: Sequence[Feature]) -> list[str]:
    return [each if isinstance(each, str) else each[0] for each in features]


def read_description(folder: Path, weights: str) -> Description:
    """Read the description in a folder.

    Raises:
        InputError: it is missing or wrong; the message says what to do.
    """
    path = folder / DESCRIPTION
    if not path.exists():
        raise InputError(
            f"{folder} has no {DESCRIPTION}, which says what {weights} does not: heads, features, length and side of "
            "the padding, vocabularies; write it with bst.imports.describe(model, folder, ...), or by hand "
            "(docs/guides/torch-rechub.md)"
        )
    return validated(Description, read_json_file(path), str(path))
