"""The reader of a folder of FuxiCTR 2: the weights, the feature map, the vocabularies and the two configs.

The form, and what the library does by accident, is told in `docs/guides/fuxictr.md`. Its pickle is never opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from bst.imports.fuxictr.encoders import Encoder, pair_values, require_as_many, take_encoder
from bst.imports.fuxictr.experiment import VOCABULARY_FILE, Experiment, open_account, read_experiment
from bst.imports.fuxictr.features import Feature, read_features, read_pairs, require_known, table_owner
from bst.imports.fuxictr.settings import Settings, read_length, read_numbers, read_settings
from bst.imports.fuxictr.vocabulary import Tokens, read_tokens
from bst.imports.rankers.account import Account
from bst.imports.rankers.files import read_json_file
from bst.imports.rankers.heads import RawLayer, fold_head, take_head
from bst.imports.rankers.ids import ITEM_FEATURES, item_properties, shown
from bst.imports.rankers.pairing import require_fields
from bst.imports.rankers.ranker import Field, HeadPart, Id, Pair, Ranker
from bst.imports.rankers.saving import Imported, save_ranker

TABLES, ENCODERS = "embedding_layer.embedding_layers", "embedding_layer.feature_encoders"
DICE_EPSILON = 1e-9


@dataclass(frozen=True)
class Table:
    """What the file has of a feature: its table, or the vector of a number, and the linear layers behind it."""

    rows: Tensor
    encoders: tuple[Tensor, ...]

    @property
    def width(self) -> int:
        return self.encoders[-1].size(0) if self.encoders else self.rows.size(1)

    def folded(self) -> Tensor:
        """Return the rows with the layers applied, float32 `[rows, width]`."""
        if not self.encoders:
            return self.rows
        rows = self.rows.double()
        for weight in self.encoders:
            rows = rows @ weight.double().T
        return rows.to(torch.float32)


def import_fuxictr(
    folder: Path,
    out: Path,
    experiment: str | None = None,
    normalisers: Mapping[str, tuple[float, float]] | None = None,
) -> Imported:
    """Turn the folder of a model of FuxiCTR into the run `out`.

    Args:
        experiment: its name in `model_config.yaml`, where the name of the weights does not tell it.
        normalisers: mean and scale of each number that has a normalizer.

    Raises:
        InputError: a file is missing or cannot be read, the model has what cannot be carried, or the files do not fit
            one another: every offence in one message.
    """
    settings = read_experiment(folder, experiment)
    account = open_account(settings)
    account.setting("experiment", settings.name, "--experiment" if experiment else settings.weights.name)
    ranker = _read(folder, settings, normalisers or {}, account)
    return save_ranker(ranker, account, "FuxiCTR", out)


def _read(
    folder: Path, experiment: Experiment, normalisers: Mapping[str, tuple[float, float]], account: Account
) -> Ranker:
    """Take every tensor, refuse what does not fit, and put the parts together."""
    features = read_features(experiment, account)
    pairs = read_pairs(experiment, features, account)
    targets, sequences = (tuple(dict.fromkeys(chain.from_iterable(side))) for side in zip(*pairs, strict=True))
    require_known(features, sequences, experiment, account)
    settings = read_settings(experiment, account)
    padded = [read_length({name: features[name] for name in own}, account) for _, own in pairs]
    numbers = read_numbers(features, normalisers, account)
    tokens = _tokens_by_feature(experiment, features, account)
    require_as_many(pairs, account)
    account.require_sound()
    tables = {name: _take_table(feature, account) for name, feature in features.items()}
    widths = {name: table.width for name, table in tables.items()}
    encoders = [
        take_encoder(place, pair, own, widths, settings, account)
        for place, (pair, own) in enumerate(zip(pairs, padded, strict=True))
    ]
    parts = _head_parts(features, tables, targets, encoders)
    raw = take_head(account, "dnn.mlp", sum(part.width for part in parts), settings.activations, dice="dice")
    _require_sizes(settings, {len(encoder.cells) for encoder in encoders}, raw, account)
    account.require_sound(complete=True)
    fields = {name: _field(features, name, tables[name], tokens[name], account) for name in tokens}
    properties, item = _properties(folder, targets, tokens, account)
    values = [pair_values(encoder, features, fields, settings, account) for encoder in encoders]
    account.require_sound()
    ranker = Ranker(
        **values[0],
        item=item,
        properties=properties,
        context=tuple(fields[part.name] for part in parts if part.kind == "context"),
        numbers=numbers,
        head_parts=parts,
        head=fold_head(raw, DICE_EPSILON),
        others=tuple(Pair(**own, item=item, properties=properties) for own in values[1:]),
    )
    _note(ranker, encoders, tokens, account)
    require_fields(ranker, account)
    return ranker


def _take_table(feature: Feature, account: Account) -> Table:
    """Take the table of a feature, which stands under its own name also where several share one."""
    is_number = feature.type == "numeric"
    shape = (None, 1) if is_number else (feature.number("vocab_size") or None, None)
    place = "a column of head.0.weight, folded" if is_number else f"the rows of {feature.name}"
    rows = account.take(f"{TABLES}.{feature.name}.weight", shape, place)
    rows = rows.T if is_number else rows
    encoders, width = [], rows.size(1)
    for place_in_list, (own, following) in enumerate(feature.encoders):
        suffix = f".{place_in_list}" if feature.is_list_of_encoders else ""
        if own != width:
            account.offences.append(f"the encoder of {feature.name} reads {own} columns, and there are {width}")
        name = f"{ENCODERS}.{feature.name}{suffix}.weight"
        encoders.append(account.take(name, (following, width), f"the rows of {feature.name}, folded"))
        width = following
    return Table(rows, tuple(encoders))


def _tokens_by_feature(experiment: Experiment, features: Mapping[str, Feature], account: Account) -> dict[str, Tokens]:
    """Return the vocabulary of each feature that is a category."""
    listed = read_tokens(experiment.vocabulary)
    tokens: dict[str, Tokens] = {}
    for name, feature in features.items():
        if feature.type == "numeric":
            continue
        own = listed.get(name)
        size = feature.number("vocab_size")
        if own is None:
            account.offences.append(f"{VOCABULARY_FILE} has no {name}")
            continue
        if size and own.rows[-1] != size - 1:
            problem = f"{VOCABULARY_FILE} has {own.rows[-1] + 1} rows of {name}, and the map says vocab_size={size}"
            account.offences.append(problem)
        elif own.gap is not None and feature.column.get("remap", True):
            account.offences.append(
                f"{VOCABULARY_FILE} has no token of {name} for row {own.gap}, or two, which takes `remap: false` of a "
                "column"
            )
        if not own.pairs:
            account.offences.append(f"{name} has no token in {VOCABULARY_FILE} but the unknown one")
        if any(token == "" for token, _ in own.pairs):
            account.remark(f"The empty text is a token of `{name}`; here it is the unknown one.")
        tokens[name] = own
    return tokens


def _field(features: Mapping[str, Feature], name: str, table: Table, tokens: Tokens, account: Account) -> Field:
    """Make the field of a feature. In a doubled vocabulary each column finds the tokens of its own kind."""
    root = table_owner(features, name)
    owner = features.get(root, features[name])
    second = _is_text(features[name]) != _is_text(owner)
    if tokens.is_doubled:
        kinds = "text" if _is_text(features[name]) else "numbers"
        account.remark(f"`{name}` has tokens twice, as numbers and as text, a row each; it reads the {kinds}.")
        if tokens.doubtful:
            account.remark(f"Of {tokens.doubtful} tokens of `{name}` the kind is taken from their order.")
    index = tokens.index(second)
    missing = _missing_row(features[name], index, tokens.unknown, account)
    return Field(name, table.folded(), index, unknown=tokens.unknown, missing=missing)


def _missing_row(feature: Feature, index: Mapping[Id, int], unknown: int, account: Account) -> int:
    """Return the row of a missing value: padding in a sequence. A whole number that is missing is `fill_na`, or 0."""
    if feature.type == "sequence":
        if padding := feature.column.get("fill_na"):
            account.remark(f"{shown(padding)} is padding in `{feature.name}` (fill_na): leave such events out.")
        return 0
    fill = feature.column.get("fill_na", 0)
    if _is_text(feature) or fill not in index:
        return unknown
    account.remark(f"A missing `{feature.name}` is {shown(fill)} in the library, which is an id: give it as such.")
    return index[fill]


def _is_text(feature: Feature) -> bool:
    """Return whether the library reads the values of a feature as text: sequences are split texts."""
    return feature.type == "sequence" or feature.column.get("dtype") not in ("int", int)


def _head_parts(
    features: Mapping[str, Feature],
    tables: Mapping[str, Table],
    targets: tuple[str, ...],
    encoders: Sequence[Encoder],
) -> tuple[HeadPart, ...]:
    """List the columns of the head's input: the features in their order without the sequences, and the states."""
    sequences = {name for encoder in encoders for name in encoder.sequences}
    parts = []
    for name, feature in features.items():
        width = tables[name].width
        if feature.type == "numeric":
            parts.append(HeadPart("number", name, width, tables[name].folded()[0].double()))
        elif name not in sequences:
            parts.append(HeadPart("target" if name in targets else "context", name, width))
    return (*parts, *(HeadPart("state", encoder.sequences[0], encoder.dim) for encoder in encoders))


def _require_sizes(settings: Settings, blocks: set[int], raw: list[RawLayer], account: Account) -> None:
    """Note where the settings and the tensors contradict each other."""
    widths = [layer.weight.size(0) for layer in raw[:-1]]
    norms = {bool(layer.norm) for layer in raw[:-1]}
    for name, in_file, in_settings in (
        ("stacked_transformer_layers", blocks, {settings.blocks}),
        ("dnn_hidden_units", widths, settings.units),
        ("batch_norm", norms, {settings.batch_norm} if widths else set()),
    ):
        if in_file != in_settings:
            shown_in_file = in_file if not isinstance(in_file, set) else " and ".join(map(str, sorted(in_file)))
            shown_setting = next(iter(in_settings)) if isinstance(in_settings, set) else in_settings
            account.offences.append(f"{name}={shown_setting}, and the tensors say {shown_in_file}")


def _properties(
    folder: Path, targets: tuple[str, ...], tokens: Mapping[str, Tokens], account: Account
) -> tuple[dict[str, dict[Id, Id | None]], str]:
    """Read `item_features.json`, and return the item: the first target field that is no property, of those that have as
    many ids as there are values if any has.
    """
    path = folder / ITEM_FEATURES
    values = read_json_file(path) if path.exists() else {}
    columns = values if isinstance(values, dict) else {}
    lengths = {len(column) for column in columns.values() if isinstance(column, list)}
    others = [name for name in targets if name not in columns] or [targets[0]]
    fitting = [name for name in others if lengths & {len(tokens[name].ids), len(tokens[name].different_ids)}]
    item = (fitting or others)[0]
    account.setting("item", item, "bst_target_field, its first name" if item == targets[0] else ITEM_FEATURES)
    numeric = {name: tokens[name].numeric for name in targets if name != item}
    properties = item_properties(values, [tokens[item].ids, tokens[item].different_ids], numeric, account)
    for name, own in properties.items():
        index = tokens[name].index(second=False).keys() | tokens[name].index(second=True).keys()
        rare = sum(value not in (None, "") and value not in index for value in own.values())
        if rare:
            account.remark(f"{rare:,} items have a `{name}` that the vocabulary lacks: they take its unknown row.")
    return properties, item


def _note(ranker: Ranker, encoders: Sequence[Encoder], tokens: Mapping[str, Tokens], account: Account) -> None:
    """Remark on what the library leaves to chance, and what the import made of it."""
    for pair, encoder in zip(ranker.pairs, encoders, strict=True):
        first, length = encoder.sequences[0], encoder.length
        if pair.partners.get(first) != ranker.item:
            account.remark(f"The library hides events without `{first}`; here an event is seen that has an item.")
        which = f" `{first}`" if ranker.others else ""
        end, kept = ("left", "newest") if encoder.side == "pre" else ("right", "oldest")
        account.remark(
            f"Histories{which} are padded on the {end}, so of a history of more than {length} events the {kept} "
            f"{length} are read: the library cuts on the side of the padding."
        )
        if pair.positions is not None:
            account.remark(
                f"Positions{which} count slots of a history padded to {length}; the candidate takes row {length}."
            )
    account.remark(
        "An unknown item or category takes the row of `__OOV__`, which is a trained row where min_categr_count is "
        "above 1. An unknown event keeps its place and is seen; an unknown item has unknown properties."
    )
    account.remark(
        "An item that is missing in the middle of a history keeps its place in the library, hidden; here it is left "
        "out, and the events before it move up. Missing categories of an event take the unknown row."
    )
    for numeric, kind in ((True, "whole numbers"), (False, "text")):
        names = [name for name, own in tokens.items() if own.numeric == numeric]
        if names:
            account.remark(f"Raw ids of {', '.join(f'`{name}`' for name in names)} are {kind}.")
