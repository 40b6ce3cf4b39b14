"""The arithmetic of torch-rechub's and FuxiCTR's BST, written plainly, with the names of their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

FF_WIDTH = 12


@dataclass(frozen=True)
class Sparse:
    """A feature of torch-rechub, which has these attributes."""

    name: str
    vocab_size: int
    embed_dim: int
    shared_with: str | None = None
    padding_idx: int | None = None


@dataclass(frozen=True)
class Dense:
    name: str
    embed_dim: int = 1


class RowDice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        distance = x - x.mean(dim=1, keepdim=True)
        p = torch.sigmoid(distance / torch.sqrt((distance**2 + 1e-3).sum(dim=1, keepdim=True)))
        return p * x + (1 - p) * self.alpha * x


RowDice.__name__ = "Dice"  # as the library calls it


class Dice(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(width, affine=False, eps=1e-9)
        self.alpha = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        p = torch.sigmoid(self.bn(x))
        return p * x + self.alpha * (1 - p) * x


def sequential(name: str, *modules: nn.Module) -> nn.Module:
    """Hold modules in a `Sequential` that is called `name`, as both libraries do."""
    holder = nn.Module()
    holder.add_module(name, nn.Sequential(*modules))
    return holder


def randomised(model: nn.Module, seed: int = 0) -> Any:
    """Give every weight and statistic a size at which it moves the answer, in float32; the model is then float64."""
    torch.manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(0.5 + torch.rand_like(tensor) if "running_var" in name else 0.6 * torch.randn_like(tensor))
    return model.double().eval()


class Rechub(nn.Module):
    """The BST of torch-rechub 0.8 and 0.9, read at the target, which gives logits."""

    def __init__(
        self, history: list[Sparse], target: list[Sparse], features: list[Sparse | Dense], **changes: Any
    ) -> None:
        super().__init__()
        self.history_features, self.target_features, self.features = history, target, features
        heads, blocks, activation, widths = (
            changes.get(name, default)
            for name, default in (("heads", 2), ("blocks", 1), ("activation", nn.ReLU), ("widths", (6, 5)))
        )
        dim = sum(feature.embed_dim for feature in history)
        sparse = [feature for feature in (*features, *history, *target) if isinstance(feature, Sparse)]
        tables = {one.name: nn.Embedding(one.vocab_size, one.embed_dim) for one in sparse if one.shared_with is None}
        self.embedding = nn.Module()
        self.embedding.add_module("embed_dict", nn.ModuleDict(tables))
        self.pos_embedding = nn.Embedding(changes.get("positions", 11), dim)
        layer = nn.TransformerEncoderLayer(dim, heads, FF_WIDTH, activation=nn.LeakyReLU(), batch_first=True)
        self.transformer_layers = nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False)
        modules: list[nn.Module] = []
        width = dim + sum(feature.embed_dim for feature in (*target, *features))
        for following in widths:
            modules += [nn.Linear(width, following), nn.BatchNorm1d(following), activation(), nn.Dropout(0.1)]
            width = following
        self.mlp = sequential("mlp", *modules, nn.Linear(width, 1))

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        def rows(features: list[Any]) -> list[Tensor]:
            tables = self.get_submodule("embedding.embed_dict")
            return [
                tables.get_submodule(feature.shared_with or feature.name)(x[feature.name])
                for feature in features
                if isinstance(feature, Sparse)
            ]

        target = torch.cat(rows(self.target_features), dim=-1)
        sequence = torch.cat([torch.cat(rows(self.history_features), dim=-1), target.unsqueeze(1)], dim=1)
        sequence = sequence + self.pos_embedding.weight[: sequence.size(1)]
        padded = torch.stack([x[feature.name] == 0 for feature in self.history_features]).all(dim=0)
        padded = nn.functional.pad(padded, (0, 1), value=False)
        state = self.transformer_layers(sequence, src_key_padding_mask=padded)[:, -1]
        dense = [x[one.name].reshape(len(target), -1) for one in self.features if isinstance(one, Dense)]
        beside = [state, target, *rows(self.features), *dense]
        return self.get_submodule("mlp.mlp")(torch.cat(beside, dim=-1)).squeeze(1)


class Fuxi(nn.Module):
    """The BST of FuxiCTR 2, which gives logits.

    `features` are name and kind in the order of the head; `changes` are the settings of `Settings` below.
    """

    def __init__(self, features: dict[str, dict[str, Any]], settings: dict[str, Any]) -> None:
        super().__init__()
        self.features, self.settings = features, settings
        tables = nn.ModuleDict()
        encoders = nn.ModuleDict()
        for name, spec in features.items():
            if spec["type"] == "numeric":
                tables[name] = nn.Linear(1, spec["width"], bias=False)
            elif spec.get("share_embedding") in tables:
                tables[name] = tables[spec["share_embedding"]]
            else:
                tables[name] = nn.Embedding(spec["vocab_size"], spec["width"])
            if "encoder" in spec:
                layers = [nn.Linear(*pair, bias=False) for pair in spec["encoder"]]
                encoders[name] = nn.Sequential(*layers) if spec["in_list"] else layers[0]
        self.embedding_layer = nn.Module()
        self.embedding_layer.add_module("embedding_layers", tables)
        self.embedding_layer.add_module("feature_encoders", encoders)
        place = settings["width"] if settings["positions"] else 0
        dims = [place + settings["width"] * len(sequences) for _, sequences in settings["pairs"]]
        lengths = [features[sequences[0]]["max_len"] for _, sequences in settings["pairs"]]
        self.transformer_encoders = nn.ModuleList(
            Transformer(dim, place, length, settings) for dim, length in zip(dims, lengths, strict=True)
        )
        beside = [spec for spec in features.values() if spec["type"] != "sequence"]
        out = [spec.get("encoder", [(0, spec["width"])])[-1][1] for spec in beside]
        modules, width = [], sum(dims) + sum(out)
        for following, activation in zip(settings["units"], settings["activations"], strict=True):
            modules.append(nn.Linear(width, following))
            modules += [nn.BatchNorm1d(following)] if settings["batch_norm"] else []
            modules += [activation(following)] if activation else []
            modules += [nn.Dropout(0.1)] if settings["dropout"] else []
            width = following
        self.dnn = sequential("mlp", *modules, nn.Linear(width, 1), nn.Sigmoid())

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        rows = {}
        for name, spec in self.features.items():
            values = x[name].unsqueeze(-1) if spec["type"] == "numeric" else x[name]
            rows[name] = self.get_submodule(f"embedding_layer.embedding_layers.{name}")(values)
            if "encoder" in spec:
                rows[name] = self.get_submodule(f"embedding_layer.feature_encoders.{name}")(rows[name])
        states = []
        for (targets, sequences), encoder in zip(self.settings["pairs"], self.transformer_encoders, strict=True):
            history = torch.cat([rows.pop(name) for name in sequences], dim=-1)
            target = torch.cat([rows[name] for name in targets], dim=-1)
            hidden = nn.functional.pad(x[sequences[0]] == 0, (0, 1), value=False)
            states.append(self.pooled(encoder(torch.cat([history, target.unsqueeze(1)], dim=1), hidden), hidden))
        layers: Any = self.get_submodule("dnn.mlp")
        return layers[:-1](torch.cat([*rows.values(), *states], dim=-1)).squeeze(1)

    def pooled(self, states: Tensor, hidden: Tensor) -> Tensor:
        if self.settings["pooling"] == "target":
            return states[:, -1]
        total = (states * ~hidden.unsqueeze(-1)).sum(dim=1)
        return total / (~hidden).sum(dim=1, keepdim=True) if self.settings["pooling"] == "mean" else total


class Transformer(nn.Module):
    def __init__(self, dim: int, place: int, length: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.settings = settings
        if place:
            self.position_emb = nn.Parameter(torch.zeros(length + 1, place))
        self.transformer_blocks = nn.ModuleList(Block(dim, settings) for _ in range(settings["blocks"]))

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        if self.settings["positions"]:
            x = torch.cat([x, self.position_emb.expand(len(x), -1, -1)], dim=-1)
        length = x.size(1)
        mask = hidden.unsqueeze(1) & ~torch.eye(length, dtype=torch.bool)
        if self.settings["causal"]:
            mask = mask | torch.ones(length, length, dtype=torch.bool).triu(1)
        for block in self.transformer_blocks:
            x = block(x, mask.repeat_interleave(self.settings["heads"], dim=0))
        return x


class Block(nn.Module):
    def __init__(self, dim: int, settings: dict[str, Any]) -> None:
        super().__init__()
        self.residual = settings["residual"]
        self.attention = nn.MultiheadAttention(dim, settings["heads"], batch_first=True)
        self.ffn = nn.Sequential(nn.Linear(dim, dim), nn.LeakyReLU(), nn.Linear(dim, dim))
        self.layer_norm1 = nn.LayerNorm(dim) if settings["norm"] else None
        self.layer_norm2 = nn.LayerNorm(dim) if settings["norm"] else None

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        state = self.attention(x, x, x, attn_mask=mask, need_weights=False)[0]
        state = state + x if self.residual else state
        state = self.layer_norm1(state) if self.layer_norm1 else state
        output = self.ffn(state) + state if self.residual else self.ffn(state)
        return self.layer_norm2(output) if self.layer_norm2 else output
