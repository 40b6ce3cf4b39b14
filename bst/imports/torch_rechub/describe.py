"""The description of a live model of torch-rechub, written beside its weights for `bst import torch-rechub`.

Nothing of torch-rechub is imported: the model is read by the names of its attributes.
"""

from __future__ import annotations

import io
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
            fitted `LabelEncoder` whose codes were raised by 1.
        length: that of the padded histories in training, without the target; the answers depend on it.
        padding: the side of the padding in training, `pre` (left) or `post` (right).
        item_id: the target feature that is the item; the first one unless it is named.
        item_features: for each target feature that is a property of the item, the value of each item, in the order of
            the items' vocabulary.

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
    sparse = [feature for feature in model.features if hasattr(feature, "vocab_size")]
    dense = [feature for feature in model.features if not hasattr(feature, "vocab_size")]
    owners = {
        feature.name: feature.vocab_size
        for feature in (*model.history_features, *model.target_features, *sparse)
        if feature.shared_with is None
    }
    lists = {name: _listed(vocabularies[name]) for name in owners if name in vocabularies}
    offences += [f"vocabularies lacks {name}, which owns a table" for name in owners if name not in lists]
    offences += [
        f"the vocabulary of {name} has {len(ids)} ids, and its table {owners[name]} rows, one of them for padding"
        for name, ids in lists.items()
        if len(ids) != owners[name] - 1
    ]
    offences += [f"vocabularies has {name}, which owns no table" for name in vocabularies if name not in owners]
    if padding not in ("pre", "post"):
        offences.append(f"padding={padding!r}; give 'pre' (left) or 'post' (right)")
    if offences:
        raise InputError("; ".join(offences))
    description = {
        "library": "torch-rechub",
        "version": _version(model),
        "num_heads": model.transformer_layers.layers[0].self_attn.num_heads,
        "mlp_activation": _activation(model),
        **{"padding": padding, "length": length},
        "history": [[feature.name, feature.shared_with] for feature in model.history_features],
        "target": [_feature(feature) for feature in model.target_features],
        "context": [_feature(feature) for feature in sparse],
        "dense": [name for feature in dense for name in _numbers(feature)],
        "padding_idx": {feature.name: feature.padding_idx for feature in model.history_features},
        "item_id": item_id or model.target_features[0].name,
        "vocabularies": {name: f"vocabulary_{place}.json" for place, name in enumerate(lists)},
    }
    weights = io.BytesIO()
    torch.save({name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}, weights)
    texts = {file: to_json(lists[name]) for name, file in description["vocabularies"].items()}
    if item_features:
        texts[ITEM_FEATURES] = to_json({name: _listed(values) for name, values in item_features.items()})
    Path(folder).mkdir(parents=True, exist_ok=True)
    for file, text in {**texts, DESCRIPTION: to_json(description)}.items():
        write_atomically(Path(folder) / file, text)
    write_atomically(Path(folder) / WEIGHTS, weights.getvalue())


def _listed(values: Any) -> list[Any]:
    """List raw ids from a list, an array or an encoder with `classes_`."""
    values = getattr(values, "classes_", values)
    return list(values.tolist() if hasattr(values, "tolist") else values)


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
