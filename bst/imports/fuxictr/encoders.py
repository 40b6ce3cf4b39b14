"""The encoders of a BST of FuxiCTR: one for each pair of target and sequence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bst.imports.fuxictr.features import Feature, FieldsOfPair, table_owner
from bst.imports.fuxictr.settings import Settings
from bst.imports.rankers.account import Account
from bst.imports.rankers.cells import CellNames, take_cells
from bst.imports.rankers.pairing import pair_fields
from bst.imports.rankers.ranker import Field

PREFIX = "transformer_encoders"
LAYERS = {"ffn.0": "ff_1", "ffn.2": "ff_2"}
NORMS = {"layer_norm1": "norm_1", "layer_norm2": "norm_2"}


@dataclass(frozen=True)
class Encoder:
    """What the files have of the encoder of a pair.

    Attributes:
        targets, sequences: the names of its fields.
        length, side: of the padding.
        width: of the fields, without that of positions, which `dim` has too.
    """

    targets: tuple[str, ...]
    sequences: tuple[str, ...]
    length: int
    side: str
    width: int
    dim: int
    positions: Tensor | None
    cells: tuple[Mapping[str, Tensor], ...]


def require_as_many(pairs: Sequence[FieldsOfPair], account: Account) -> None:
    """Note as an offence that the settings have more pairs than the tensors have encoders."""
    matches = (re.match(rf"{PREFIX}\.(\d+)\.", name) for name in account.tensors)
    if (number := len({match[1] for match in matches if match})) < len(pairs):
        listed = "; ".join(f"{' and '.join(target)} with {' and '.join(sequence)}" for target, sequence in pairs)
        account.offences.append(
            f"{len(pairs)} pairs of target and sequence ({listed}), and the tensors have {number} encoders; fields of "
            "one pair are a tuple, !!python/tuple [a, b], and those of several a list"
        )


def take_encoder(
    place: int,
    pair: FieldsOfPair,
    padded: tuple[int, str],
    widths: Mapping[str, int],
    settings: Settings,
    account: Account,
) -> Encoder:
    """Take the tensors of the encoder of a pair.

    Args:
        place: of the pair.
        padded: the length and the side of its padding.
        widths: of the tables of all features.
    """
    (targets, sequences), (length, side) = pair, padded
    width = sum(widths[name] for name in sequences)
    wide = sum(widths[name] for name in targets)
    if wide != width:
        account.offences.append(f"the sequences are {width} wide together, and the target fields {wide}")
    positions, prefix = None, f"{PREFIX}.{place}"
    if settings.positions:
        positions = account.take(f"{prefix}.position_emb", (length + 1, None), "positions, in columns of their own")
    dim = width + (0 if positions is None else positions.size(1))
    names = CellNames(f"{prefix}.transformer_blocks", "attention", LAYERS | (NORMS if settings.layer_norm else {}))
    cells = take_cells(account, names, dim, settings.num_heads, f"sequences.{place - 1}." if place else "")
    return Encoder(targets, sequences, length, side, width, dim, positions, cells)


def pair_values(
    encoder: Encoder,
    features: Mapping[str, Feature],
    fields: Mapping[str, Field],
    settings: Settings,
    account: Account,
) -> dict[str, Any]:
    """Return what a `Pair` has of an encoder, besides the item and its properties."""
    partners = pair_fields(
        {name: table_owner(features, name) for name in encoder.sequences},
        {name: table_owner(features, name) for name in encoder.targets},
        {name: fields[name].index for name in (*encoder.sequences, *encoder.targets)},
        account,
    )
    return {
        "settings": _model_settings(settings, encoder.length, encoder.side),
        "history": tuple(fields[name] for name in encoder.sequences),
        "target": tuple(fields[name] for name in encoder.targets),
        "partners": partners,
        "cells": encoder.cells,
        "positions": None if encoder.positions is None else _ordered(encoder.positions, encoder.side),
        "positions_at": encoder.width,
    }


def _ordered(positions: Tensor, side: str) -> Tensor:
    """Order the rows of positions as `ClickBST` counts places: from the oldest event, or from the newest."""
    events = positions[:-1].flip(0) if side == "pre" else positions[:-1]
    return torch.cat([events, positions[-1:]])


def _model_settings(settings: Settings, length: int, side: str) -> dict[str, object]:
    places = "newest" if side == "pre" else "oldest"
    return {
        **{"num_heads": settings.num_heads, "max_length": length, "pooling": settings.pooling},
        **{"norm": "post" if settings.layer_norm else "none", "residual": settings.residual},
        **{"mask": "causal" if settings.causal else "full", "places": places if settings.positions else "none"},
        **{"unknown_items": "row", "longer_histories": places},
    }
