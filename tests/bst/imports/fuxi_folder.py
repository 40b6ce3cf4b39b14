"""Folders as FuxiCTR leaves them, of models with random weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bst.imports import import_fuxictr
from tests.bst.imports.libraries import Fuxi, randomised

LENGTH, WIDTH = 5, 4
TEXT_ITEMS = ["sku-3", "sku-1", "sku-9", "sku-4", "sku-7"]
NUMBER_ITEMS = [4, 15, 23, 108, 250]
CATES = ["hats", "shoes", "帽子"]
DEFAULTS: dict[str, Any] = {
    **{"padding": "post", "causal": False, "pooling": "target", "batch_norm": False, "blocks": 1, "positions": True},
    **{"norm": True, "residual": True, "names": "relu", "units": [6, 5], "dropout": False, "heads": 2},
    **{"activations": [lambda _: nn.ReLU(), lambda _: nn.ReLU()], "fields": ["item"], "context": [], "numbers": []},
    **{"crossed": False, "sequences_first": False, "doubled": False, "encoders": False, "normaliser": False},
    **{"width": WIDTH, "others": []},
}


@dataclass(frozen=True)
class Other:
    """Another pair of target and sequence than the first: its sequences are called `<name>_<field>`."""

    name: str
    fields: tuple[str, ...] = ("item",)
    length: int = 3
    padding: str = "post"
    own_tables: bool = False

    @property
    def sequences(self) -> list[str]:
        return [f"{self.name}_{field}" for field in self.fields]


@dataclass(frozen=True)
class Case:
    """A model: what differs from `DEFAULTS`."""

    changes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def settings(self) -> dict[str, Any]:
        fields = self.changes.get("fields", ["item"])
        sequences = [f"{name}_history" for name in (reversed(fields) if self.changes.get("crossed") else fields)]
        if self.changes.get("crossed"):  # the item's history still comes first: the library hides where it is padding
            sequences = [sequences[-1], *sequences[:-1]]
        pairs = [(fields, sequences)]
        pairs += [(list(other.fields), other.sequences) for other in self.changes.get("others", [])]
        targets = {name for own, _ in pairs for name in own}
        return {**DEFAULTS, **self.changes, "targets": targets, "pairs": pairs}

    def other(self, sequence: str) -> Other | None:
        """The pair of a sequence; None of the first."""
        return next((own for own in self.settings["others"] if sequence in own.sequences), None)

    def padded(self, sequence: str) -> tuple[int, str]:
        """The length and the side of the padding of a sequence."""
        own = self.other(sequence)
        return (own.length, own.padding) if own else (LENGTH, self.settings["padding"])

    @property
    def numeric(self) -> bool:
        return bool(self.settings["doubled"])

    @property
    def items(self) -> list[Any]:
        return list(NUMBER_ITEMS if self.numeric else TEXT_ITEMS)

    def pairs(self, name: str) -> list[tuple[str, int]]:
        """The vocabulary of a field or of its history, with a doubled one for items that are numbers."""
        base = self.field(name)
        tokens = {"item": list(map(str, self.items)), "cate": CATES, "kind": ["view", "buy"], "city": ["Oslo", "Rome"]}
        listed = tokens[base]
        if base == "item" and self.settings["doubled"]:  # 250 is never in a history, 4 is never a target
            listed = [*listed[1:], "23", "4", "15", "108"]
        elif name != base and (own.own_tables if (own := self.other(name)) else self.settings["sequences_first"]):
            listed = [*listed[1:], listed[0]]  # its own table, its own order
        return [("__PAD__", 0), *zip(listed, range(1, 99), strict=False), ("__OOV__", len(listed) + 1)]

    def field(self, name: str) -> str:
        """The field that a name is of: itself, or the one of which it is a sequence."""
        own = self.other(name)
        return name.removeprefix(f"{own.name}_") if own else name.removesuffix("_history")

    def row(self, name: str, value: Any) -> int:
        """The row of a raw value; a doubled vocabulary has the numbers of the target first."""
        pairs = self.pairs(name)
        if self.field(name) == "item" and self.settings["doubled"]:
            pairs = [*(pairs[5:] if name != "item" else pairs[:5]), pairs[-1]]
        rows = dict(pairs)
        return rows.get(str(value), rows["__OOV__"])

    def cate(self, item: Any) -> str:
        """The category of an item; unknown items have an unknown one."""
        return CATES[self.items.index(item) % 2] if item in self.items else "?"

    def history_values(self, name: str, request: dict[str, Any]) -> list[Any]:
        own = self.other(name)
        return self._values(name, request[own.name if own else "history"], request["kinds"])

    def candidate_values(self, name: str, request: dict[str, Any]) -> list[Any]:
        return self._values(name, request["candidates"], request["candidate_kinds"])

    def _values(self, name: str, items: list[Any], kinds: list[str]) -> list[Any]:
        if self.field(name) == "cate":
            return [self.cate(item) for item in items]
        return kinds if self.field(name) == "kind" else items

    def scaled(self, name: str, value: float) -> float:
        return (value - 1.5) / 4.0 if self.settings["normaliser"] and name == "price" else value

    @cached_property
    def features(self) -> dict[str, dict[str, Any]]:
        """The features in the order of the head."""
        settings = self.settings
        columns: dict[str, dict[str, Any]] = {}
        numbers = list(settings["numbers"])
        for name in dict.fromkeys([*settings["fields"], *(name for own in settings["others"] for name in own.fields)]):
            columns[name] = {"type": "categorical"}
            if numbers:  # between the others
                columns[numbers.pop(0)] = {"type": "numeric"}
        columns |= {name: {"type": "numeric"} for name in numbers}
        columns |= {name: {"type": "categorical"} for name in settings["context"]}
        sequences = {
            f"{name}_history": {"type": "sequence", "share_embedding": name, "max_len": LENGTH}
            for name in settings["fields"]
        }
        columns = {**sequences, **columns} if settings["sequences_first"] else {**columns, **sequences}
        for other in settings["others"]:  # one is before all else, where the library gives it a table of its own
            for name, base in zip(other.sequences, other.fields, strict=True):
                spec = {"type": "sequence", "share_embedding": base, "max_len": other.length}
                columns = {name: spec, **columns} if other.own_tables else {**columns, name: spec}
        for name, spec in columns.items():
            spec["width"] = WIDTH
            if spec["type"] != "numeric":
                spec["vocab_size"] = len(self.pairs(name))
            if settings["encoders"]:
                spec["width"] = 3 if name == "city" else WIDTH
                spec["encoder"] = [(spec["width"], 6), (6, WIDTH)] if name == "city" else [(WIDTH, WIDTH)]
                spec["in_list"] = name == "city"
        return columns


def write_folder(folder: Path, case: Case, name: str = "BST_best") -> Any:
    """Write the files of a model, and return it in float64."""
    model = randomised(Fuxi(case.features, case.settings))
    folder.mkdir(parents=True)
    state = model.state_dict()
    weights = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    torch.save(weights, folder / f"{name}.model")
    specs = [{"user": {"type": "meta"}}, *({key: spec_of(spec)} for key, spec in case.features.items())]
    (folder / "feature_map.json").write_text(json.dumps({"dataset_id": "clicks", "features": specs}))
    (folder / "feature_vocab.json").write_text(vocabulary_text(case))
    if "cate" in case.settings["targets"]:
        properties = {"cate": [case.cate(item) for item in item_order(case)]}
        (folder / "item_features.json").write_text(json.dumps(properties))
    (folder / "model_config.yaml").write_text(model_config(case, name))
    (folder / "dataset_config.yaml").write_text(dataset_config(case))
    return model


def item_order(case: Case) -> list[Any]:
    tokens = [token for token, _ in case.pairs("item")[1:-1]]
    return [int(token) for token in tokens] if case.numeric else tokens


def spec_of(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec of a feature as the library's map has it; the encoder is code."""
    values = {key: value for key, value in spec.items() if key not in ("width", "encoder", "in_list")}
    if "encoder" in spec:
        codes = [f"nn.Linear({first}, {second}, bias=False)" for first, second in spec["encoder"]]
        values["feature_encoder"] = codes if spec["in_list"] else codes[0]
    return {**values, "source": "", "padding_idx": 0}


def vocabulary_text(case: Case) -> str:
    """The vocabularies as the library writes them, where a key may be there twice."""
    tables = []
    for name, spec in case.features.items():
        if spec["type"] != "numeric":
            rows = ", ".join(f"{json.dumps(token)}: {row}" for token, row in case.pairs(name))
            tables.append(f"{json.dumps(name)}: {{{rows}}}")
    return "{" + ", ".join(tables) + "}"


def model_config(case: Case, name: str) -> str:
    settings = case.settings

    def fields(place: int) -> str:
        tuples = [pair[place] for pair in settings["pairs"]]
        listed = [names[0] if len(names) == 1 else f"!!python/tuple [{', '.join(names)}]" for names in tuples]
        return listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"

    lines = {
        **{"model": "BST", "dataset_id": "clicks", "embedding_dim": WIDTH, "dnn_hidden_units": settings["units"]},
        **{"dnn_activations": json.dumps(settings["names"]), "num_heads": settings["heads"]},
        **{"stacked_transformer_layers": settings["blocks"], "net_dropout": 0.1 if settings["dropout"] else 0},
        **{"layer_norm": settings["norm"], "use_residual": settings["residual"], "batch_norm": settings["batch_norm"]},
        **{"bst_target_field": fields(0), "bst_sequence_field": fields(1)},
        **{"seq_pooling_type": settings["pooling"], "use_position_emb": settings["positions"]},
        "use_causal_mask": settings["causal"],
    }
    own = "".join(
        f"  {key}: {str(value).lower() if isinstance(value, bool) else value}\n" for key, value in lines.items()
    )
    return f"Base: {{seed: 1, use_features: null, num_heads: 1}}\n{name}:\n{own}other:\n  model: BST\n"


def dataset_config(case: Case) -> str:
    columns: list[dict[str, Any]] = []
    for name, spec in case.features.items():
        column = {"name": name, "type": spec["type"], "dtype": "int" if case.numeric and name == "item" else "str"}
        if spec["type"] == "sequence" and case.padded(name)[1] == "pre":
            column["padding"] = "pre"
        if name == "price" and case.settings["normaliser"]:
            column["normalizer"] = "StandardScaler"
        columns.append(column)
    return f"clicks:\n  min_categr_count: 1\n  feature_cols: {json.dumps(columns)}\n"


def import_whole(folder: Path) -> None:
    """Import a model with all that only models of other libraries have: `folder / "run"`."""
    changes = {"fields": ["item", "cate", "kind"], "context": ["city"], "numbers": ["price"], "sequences_first": True}
    write_folder(folder / "fuxictr", Case(changes))
    import_fuxictr(folder / "fuxictr", folder / "run")


PAIRS = Case(
    {
        **{"fields": ["item", "kind"], "context": ["city"], "padding": "pre", "causal": True, "pooling": "mean"},
        **{"blocks": 2, "others": [Other("skipped", ("item", "cate"), length=4), Other("bought", padding="pre")]},
    }
)


def import_pairs(folder: Path) -> None:
    """Import a model of three sequences, each of its own length and fields, and cut on its own side."""
    write_folder(folder / "fuxictr", PAIRS)
    import_fuxictr(folder / "fuxictr", folder / "run")


IMPORTS = {"imported": import_whole, "pairs": import_pairs}
