"""The reader of a folder of torch-rechub 0.8 and later: `model.pth` and what stands beside it.

The form, and what the library does by accident, is told in `docs/guides/torch-rechub.md`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from bst.errors import InputError
from bst.imports.rankers.account import Account
from bst.imports.rankers.cells import CellNames, take_cells
from bst.imports.rankers.files import read_json_file
from bst.imports.rankers.heads import fold_head, take_head
from bst.imports.rankers.ids import ITEM_FEATURES, ids_by_row, item_properties, shown
from bst.imports.rankers.pairing import pair_fields, require_fields
from bst.imports.rankers.ranker import Field, HeadPart, Id, NumberField, Ranker
from bst.imports.rankers.saving import Imported, save_ranker
from bst.imports.torch_rechub.description import DESCRIPTION, Description, read_description
from bst.system.plain_tensors import read_plain_tensors

WEIGHTS = "model.pth"
TABLES = "embedding.embed_dict"
OLD_SLOTS = 50  # the fixed length of the form of 0.5 and earlier
CELL = CellNames(
    "transformer_layers.layers",
    "self_attn",
    {"linear1": "ff_1", "linear2": "ff_2", "norm1": "norm_1", "norm2": "norm_2"},
)


def import_torch_rechub(folder: Path, out: Path) -> Imported:
    """Turn the folder of a model of torch-rechub into the run `out`.

    Raises:
        InputError: a file is missing or cannot be read, the model is of an older form, or the files do not fit one
            another: every offence in one message.
    """
    ranker, _, account = read_torch_rechub(folder)
    return save_ranker(ranker, account, "torch-rechub", out)


def read_torch_rechub(folder: Path) -> tuple[Ranker, Description, Account]:
    """Read the folder of a model of torch-rechub.

    Raises:
        InputError: as `import_torch_rechub`.
    """
    weights = folder / WEIGHTS
    if not folder.is_dir() or not weights.exists():
        raise InputError(f"{folder} has no {WEIGHTS}; put there what torch.save(model.state_dict(), path) wrote")
    account = Account(read_plain_tensors(weights), str(weights))
    _refuse_old_forms(account)
    description = read_description(folder, WEIGHTS)
    return _read(folder, description, account), description, account


def _refuse_old_forms(account: Account) -> None:
    """Refuse the models of earlier versions, which have a second copy of a layer.

    Raises:
        InputError: the message says which version it is, and why no run can be made of it.
    """
    if not any(name.startswith("encoder_layer.") for name in account.tensors):
        return
    tables = [tensor for name, tensor in account.tensors.items() if name.startswith(f"{TABLES}.") and tensor.dim() == 2]
    first, joint = (
        account.tensors.get(name) for name in ("mlp.mlp.0.weight", "encoder_layer.self_attn.in_proj_weight")
    )
    # All slots of a history side by side, or their mean.
    is_flat = (
        first is not None
        and joint is not None
        and first.dim() == joint.dim() == 2
        and first.size(1) - sum(table.size(1) for table in tables) >= OLD_SLOTS * joint.size(1)
    )
    reason = (
        "0.5 or earlier, whose attention runs over the rows of a batch: an answer depends on what else is in its batch"
        if is_flat
        else "0.6 or 0.7, which has no positions and no mask, and takes the mean over padding and targets too"
    )
    raise InputError(
        f"{account.source} is a model of torch-rechub {reason} (it has tensors encoder_layer.*); only models of 0.8 "
        "and later can be imported: train again with one of these"
    )


def _read(folder: Path, description: Description, account: Account) -> Ranker:
    """Take every tensor, refuse what does not fit, and put the parts together."""
    owners = description.owners
    description.require_roles(account)
    account.require_sound()
    fields = _read_fields(folder, description, account)
    dim = sum(field.width for field in fields["history"])
    wide = sum(field.width for field in fields["target"])
    if wide != dim:
        account.offences.append(f"the history features are {dim} wide together, and the target features {wide}")
    cells = take_cells(account, CELL, dim, description.num_heads)
    positions = account.take("pos_embedding.weight", (None, dim), "positions")
    if positions.size(0) <= description.length:
        account.offences.append(
            f"length={description.length}, and {positions.size(0)} rows of positions: the target takes row "
            f"{description.length}, counted from 0"
        )
    parts = _head_parts(description, fields, dim)
    raw = take_head(account, "mlp.mlp", sum(part.width for part in parts), description.mlp_activation, dice="row_dice")
    ids = {field.name: field.index for part in fields.values() for field in part}
    partners = pair_fields(owners["history"], owners["target"], ids, account)
    properties = _read_properties(folder, description, fields["target"], account)
    account.require_sound(complete=True)
    _note(description, len(cells), positions, account)
    ranker = Ranker(
        settings=_settings(description),
        item=description.item_id,
        history=fields["history"],
        target=fields["target"],
        partners=partners,
        properties=properties,
        context=tuple(field for field in fields["context"] if field.name not in owners["target"]),
        numbers=tuple(NumberField(name) for name in description.dense),
        cells=cells,
        positions=_ordered(positions, description),
        positions_at=0,
        head_parts=parts,
        head=fold_head(raw, dice_epsilon=0.0),
    )
    require_fields(ranker, account)
    return ranker


def _read_fields(folder: Path, description: Description, account: Account) -> dict[str, tuple[Field, ...]]:
    """Read the table and the vocabulary of each feature, by its role."""
    readers: dict[str, list[str]] = {}
    for own in description.owners.values():
        for name, owner in own.items():
            readers.setdefault(owner, []).append(name)
    fields: dict[str, Field] = {}
    for owner, names in readers.items():
        rows = account.take(f"{TABLES}.{owner}.weight", (None, None), f"the rows of {', '.join(dict.fromkeys(names))}")
        fields[owner] = Field(owner, rows, _read_vocabulary(folder, description, owner, rows, account))
    unused = [name for name in description.vocabularies if name not in readers]
    account.offences += [f"{DESCRIPTION} has a vocabulary of {name}, which owns no table" for name in unused]
    return {
        role: tuple(replace(fields[owner], name=name) for name, owner in own.items())
        for role, own in description.owners.items()
    }


def _read_vocabulary(
    folder: Path, description: Description, owner: str, rows: Tensor, account: Account
) -> dict[Id, int]:
    file = description.vocabularies.get(owner)
    if file is None:
        account.offences.append(f"{DESCRIPTION} names no vocabulary of {owner}, which owns a table of {len(rows)} rows")
        return {}
    if Path(file).name != file:
        account.offences.append(f"the vocabulary {file!r} of {owner} is no name of a file in the folder itself")
        return {}
    if not (folder / file).is_file():
        account.offences.append(
            f"the vocabulary {file} of {owner} is missing: a list of its raw ids, that of row 1 first"
        )
        return {}
    index = ids_by_row(read_json_file(folder / file), f"the vocabulary {file} of {owner}", len(rows), account)
    if "" in index:
        account.remark(
            f"The empty text is an id of `{owner}`: an unknown category reads its row, and as an item it is left out."
        )
    return index


def _read_properties(
    folder: Path, description: Description, target: tuple[Field, ...], account: Account
) -> dict[str, dict[Id, Id | None]]:
    path = folder / ITEM_FEATURES
    if not path.exists():
        return {}
    item = next(field for field in target if field.name == description.item_id)
    rows = {row: value for value, row in item.index.items()}
    every_row = [rows.get(row) for row in range(1, len(item.rows))]  # with None for one without an id
    others = {field.name: field for field in target if field.name != description.item_id}
    numeric = {name: isinstance(next(iter(field.index), ""), int) for name, field in others.items()}
    properties = item_properties(read_json_file(path), [every_row], numeric, account)
    for name, values in properties.items():
        possible = {None, "", *others[name].index}
        strange = [value for value in values.values() if value not in possible]
        if strange:
            some = f"{len(strange)} values of {name} that are not in its vocabulary, such as {shown(strange[0])}"
            account.offences.append(f"{ITEM_FEATURES} has {some}")
    return properties


def _head_parts(description: Description, fields: dict[str, tuple[Field, ...]], dim: int) -> tuple[HeadPart, ...]:
    parts = [HeadPart("state", fields["history"][0].name, dim)]
    parts += [HeadPart("target", field.name, field.width) for field in fields["target"]]
    targets = {field.name for field in fields["target"]}
    parts += [
        HeadPart("target" if field.name in targets else "context", field.name, field.width)
        for field in fields["context"]
    ]
    parts += [HeadPart("number", name, 1, torch.ones(1, dtype=torch.float64)) for name in description.dense]
    return tuple(parts)


def _ordered(positions: Tensor, description: Description) -> Tensor:
    """Order the rows of positions as `ClickBST` counts places: from the oldest event, or from the newest."""
    events = positions[: description.length]
    if description.padding == "pre":
        events = events.flip(0)
    return torch.cat([events, positions[description.length, None]])


def _settings(description: Description) -> dict[str, object]:
    return {
        "num_heads": description.num_heads,
        "max_length": description.length,
        "places": "oldest" if description.padding == "post" else "newest",
        **{"mask": "full", "pooling": "target", "norm": "post", "residual": True},
    }


def _note(description: Description, blocks: int, positions: Tensor, account: Account) -> None:
    """Note where the settings come from, and what the library leaves to chance."""
    length, side = description.length, "left" if description.padding == "pre" else "right"
    for name in ("num_heads", "mlp_activation", "padding", "length", "item_id"):
        account.setting(name, getattr(description, name), DESCRIPTION)
    account.setting("num_layers", blocks, "the tensors' names")
    account.setting("max_seq_len", len(positions), "pos_embedding.weight")
    account.setting("activation of the cells", "LeakyReLU", "the library, which has no other")
    account.setting("norm, residual", "after, on", "the library, which has no other")
    account.remark(
        f"Histories count as padded on the {side} to length {length}: the library's answer depends on both, and the "
        f"candidate takes row {length} of the positions. {len(positions) - length - 1} later rows are not used."
    )
    account.remark(f"Of a longer history the newest {length} events are read, as `pad_sequences` cuts it.")
    account.remark(
        "The library has no rule for unknown ids. Here an unknown item of a history is left out, an unknown candidate "
        "has the probability 0, and an unknown category takes row 0 of its table."
    )
    account.remark("Row 0 of the items' table, padding, is left out: it is hidden, whatever it holds.")
    if description.dense:
        account.remark("A number that is missing or NaN counts as 0; the library's answer would be NaN.")
    for own in description.owners.values():
        for name, owner in own.items():
            if name != owner:
                account.setting(f"table of {name}", owner, DESCRIPTION)
