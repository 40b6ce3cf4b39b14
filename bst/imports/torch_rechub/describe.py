"""The description of a live model of torch-rechub, written beside its weights for `bst import torch-rechub`.

Nothing of torch-rechub is imported: the model is read by the names of its attributes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from bst.errors import InputError
from bst.imports.rankers.ids import ITEM_FEATURES
from bst.imports.torch_rechub.description import DESCRIPTION
from bst.imports.torch_rechub.reader import WEIGHTS
from bst.system.files import to_json, write_atomically


def describe(
    model: Any,
    folder: Path | str,
    *,
    vocabularies: Mapping[str, Any],
    length: int,
    padding: Literal["pre", "post"],
    item_id: str | None = None,
    item_features: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Write what `bst import torch-rechub` reads of a trained `torch_rechub.models.ranking.BST` into `folder`.

    Args:
        vocabularies: for each feature that owns a table, its raw ids in the order of their indices from 1 on, or a
            table of the index of each id, or a fitted `LabelEncoder` whose codes were raised by 1. Whole numbers may be
            floats; NaN and None stand for a row without an id.
        length: that of the padded histories in training, without the target; the answers depend on it.
        padding: the side of the padding in training, `pre` (left) or `post` (right).
        item_id: the target feature that is the item; the first one unless it is named.
        item_features: for each target feature that is a property of the item, the value of each item, in the order of
            the items' vocabulary, or a table of the value of each item.

    Raises:
        InputError: the model is of another form, or a vocabulary does not fit; every offence in one message, and
            nothing is written.
    """
    if not hasattr(model, "pos_embedding"):
        raise InputError("the model has no pos_embedding: it is no BST of torch-rechub 0.8 or later; train it with one")
    offences = [
        f"{feature.name} is a pooled sequence beside the BST, which cannot be carried; train without it"
        for feature in model.features
        if hasattr(feature, "pooling")
    ]
    targets = [feature.name for feature in model.target_features]
    sparse = [feature for feature in model.features if hasattr(feature, "vocab_size")]
    owners = {
        feature.name: feature.vocab_size
        for feature in (*model.history_features, *model.target_features, *sparse)
        if feature.shared_with is None
    }
    lists = {name: _ids(name, vocabularies[name], owners[name], offences) for name in owners if name in vocabularies}
    offences += [f"vocabularies lacks {name}, which owns a table" for name in owners if name not in lists]
    offences += [f"vocabularies has {name}, which owns no table" for name in vocabularies if name not in owners]
    item = next((each for each in model.target_features if each.name == item_id), model.target_features[0])
    if item_id not in (None, item.name):
        offences.append(f"item_id={item_id!r} is no target feature; give one of {', '.join(targets)}")
    if padding not in ("pre", "post"):
        offences.append(f"padding={padding!r}; give 'pre' (left) or 'post' (right)")
    if offences:
        raise InputError("; ".join(offences))
    description = {
        **_form(model),
        **{"padding": padding, "length": length, "item_id": item.name},
        "vocabularies": {name: f"vocabulary_{place}.json" for place, name in enumerate(lists)},
    }
    weights = io.BytesIO()
    torch.save({name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}, weights)
    texts = {file: to_json(lists[name]) for name, file in description["vocabularies"].items()}
    if item_features:
        ids = lists[item.shared_with or item.name]
        values = {name: _values_of(ids, own) for name, own in item_features.items()}
        texts[ITEM_FEATURES] = to_json(values)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for file, text in {**texts, DESCRIPTION: to_json(description)}.items():
        write_atomically(Path(folder) / file, text)
    write_atomically(Path(folder) / WEIGHTS, weights.getvalue())


def _form(model: Any) -> dict[str, Any]:
    """Describe what the model itself says: its version, its features and what its weights do not tell."""
    sparse = [feature for feature in model.features if hasattr(feature, "vocab_size")]
    dense = [feature for feature in model.features if not hasattr(feature, "vocab_size")]
    return {
        "library": "torch-rechub",
        "version": _version(model),
        "num_heads": model.transformer_layers.layers[0].self_attn.num_heads,
        "mlp_activation": _activation(model),
        "history": [[feature.name, feature.shared_with] for feature in model.history_features],
        "target": [_feature(feature) for feature in model.target_features],
        "context": [_feature(feature) for feature in sparse],
        "dense": [name for feature in dense for name in _numbers(feature)],
        "padding_idx": {feature.name: feature.padding_idx for feature in model.history_features},
    }


def _ids(name: str, values: Any, rows: int, offences: list[str]) -> list[Any]:
    """List raw ids in the order of their indices. Those that do not fit the table of so many rows are an offence."""
    if isinstance(values, Mapping):
        ids = {int(index): value for value, index in values.items()}
        if len(ids) < len(values) or not ids.keys() <= set(range(1, rows)):
            offences.append(
                f"the vocabulary of {name} has the indices {min(ids)} to {max(ids)} for {len(values)} ids; give each "
                f"its own, from 1 to {rows - 1}"
            )
        return _listed([ids.get(row) for row in range(1, rows)])
    listed = _listed(getattr(values, "classes_", values))
    if len(listed) != rows - 1:
        offences.append(
            f"the vocabulary of {name} has {len(listed)} ids, and its table {rows} rows, one of them for padding"
        )
    return listed


def _values_of(ids: Sequence[Any], values: Any) -> list[Any]:
    """List the value of each item."""
    return _listed(map(values.get, ids) if isinstance(values, Mapping) else values)


def _listed(values: Any) -> list[Any]:
    """List what a list or an array holds, as JSON can have it."""
    plain = values.tolist() if hasattr(values, "tolist") else values
    return [_plain(value.item() if hasattr(value, "item") else value) for value in plain]


def _plain(value: Any) -> Any:
    """Return a whole number that is a float as an int, and None for NaN, as tables with gaps have both."""
    if not isinstance(value, float):
        return value
    return int(value) if value.is_integer() else None if math.isnan(value) else value


def _feature(feature: Any) -> str | list[str]:
    return feature.name if feature.shared_with is None else [feature.name, feature.shared_with]


def _numbers(feature: Any) -> list[str]:
    """Name the columns of a dense feature, which may be a vector."""
    width = getattr(feature, "embed_dim", 1)
    return [feature.name] if width == 1 else [f"{feature.name}_{place}" for place in range(width)]


def _activation(model: Any) -> str:
    """Name the activation of the head by the class of its third module; without hidden layers there is none."""
    modules = list(model.mlp.mlp)
    return type(modules[2]).__name__.lower() if len(modules) > 1 else "relu"


def _version(model: Any) -> str:
    """Return the version of torch-rechub, if its module says so."""
    import sys

    package = sys.modules.get(type(model).__module__.partition(".")[0])
    return str(getattr(package, "__version__", ""))
