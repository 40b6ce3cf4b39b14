"""The head of a ranker, read from the numbered modules of a `Sequential`, with its BatchNorms folded."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bst.imports.rankers.account import COUNTER, Account
from bst.imports.rankers.ranker import HeadLayer

NORM_EPSILON = 1e-5  # torch's default for BatchNorm1d
NORM = ("weight", "bias", "running_mean", "running_var")
# The functions without weights, by their names in lower case, as both libraries write them.
PLAIN_ACTIVATIONS = {
    **{"relu": "relu", "leakyrelu": "leaky_relu", "leaky_relu": "leaky_relu", "sigmoid": "sigmoid"},
    **{"tanh": "tanh", "softmax": "softmax", "gelu": "gelu"},
}
WEIGHTED_ACTIVATIONS = ("prelu", "dice")


@dataclass
class RawLayer:
    """The tensors of a layer as the file has them."""

    weight: Tensor
    bias: Tensor
    norm: dict[str, Tensor] = field(default_factory=dict)
    activation: str | None = None
    parameters: dict[str, Tensor] = field(default_factory=dict)


def take_head(
    account: Account, prefix: str, width: int, activations: Sequence[str | None] | str | None, *, dice: str
) -> list[RawLayer]:
    """Take the tensors of the head `prefix.0`, `prefix.1`, ... which reads `width` columns.

    Its layers and BatchNorms are those of the file; `activations` are stated, one or one a hidden layer, and
    must fit the file. `dice` is the kind of Dice of the library: `dice` or `row_dice`.
    """
    members: dict[int, set[str]] = defaultdict(set)
    for name in account.tensors:
        if match := re.fullmatch(rf"{re.escape(prefix)}\.(\d{{1,6}})\.([\w.]+)", name):
            members[int(match[1])].add(match[2])
    linear = [number for number in sorted(members) if _is_linear(account, f"{prefix}.{number}", members[number])]
    if not linear or linear[0] != 0:
        account.offences.append(f"{prefix}.0.weight is missing, the first layer of the head")
        return []
    hidden = len(linear) - 1
    names = list(activations) if isinstance(activations, Sequence) and not isinstance(activations, str) else None
    if names is None:
        names = [activations if isinstance(activations, str) else None] * hidden
    if len(names) != hidden:
        account.offences.append(f"{len(names)} activations for {hidden} hidden layers of the head ({prefix})")
        return []
    layers: list[RawLayer] = []
    for place, number in enumerate(linear):
        last = place == hidden  # what stands behind it is no part of a head that gives logits
        layer = _take_linear(account, f"{prefix}.{number}", width, place, last=last)
        width = layer.weight.size(0)
        if not last:
            others = [other for other in sorted(members) if number < other < linear[place + 1]]
            _take_between(account, prefix, others, members, layer, place)
            _name_activation(account, layer, names[place], dice, f"layer {place} of {prefix}")
        layers.append(layer)
    return layers


def _is_linear(account: Account, name: str, members: set[str]) -> bool:
    return "weight" in members and account.tensors[f"{name}.weight"].dim() == 2


def _take_linear(account: Account, name: str, width: int, place: int, *, last: bool) -> RawLayer:
    layer = f"head.{2 * place}"
    weight = account.take(f"{name}.weight", (1 if last else None, width), f"{layer}.weight")
    bias = account.take(f"{name}.bias", (weight.size(0),), f"{layer}.bias")
    return RawLayer(weight, bias)


def _take_between(
    account: Account, prefix: str, numbers: list[int], members: dict[int, set[str]], layer: RawLayer, place: int
) -> None:
    """Take what stands between two linear layers: a BatchNorm, and the weights of an activation."""
    width = layer.weight.size(0)
    for number in numbers:
        name = f"{prefix}.{number}"
        if "running_mean" in members[number] and not layer.norm and layer.activation is None:
            layer.norm = {part: account.take(f"{name}.{part}", (width,), f"head.{2 * place}, folded") for part in NORM}
            _discard_counter(account, f"{name}.{COUNTER}")
        elif "alpha" in members[number] and layer.activation is None:
            layer.activation = "dice"
            to = f"head.{2 * place + 1}"
            layer.parameters["slopes"] = account.take(f"{name}.alpha", (None,), f"{to}.slopes")
            if "bn.running_mean" in members[number]:
                for part in ("running_mean", "running_var"):
                    parameter = account.take(f"{name}.bn.{part}", (width,), f"{to}.scale and {to}.shift")
                    layer.parameters[part] = parameter
                _discard_counter(account, f"{name}.bn.{COUNTER}")
        elif members[number] == {"weight"} and layer.activation is None:
            layer.activation = "prelu"
            slopes = account.take(f"{name}.weight", (None,), f"head.{2 * place + 1}.slopes")
            layer.parameters["slopes"] = slopes
            if slopes.numel() not in (1, width):
                account.offences.append(f"{name}.weight has {slopes.numel()} slopes for {width} units")


def _discard_counter(account: Account, name: str) -> None:
    if account.has(name):
        account.discard(name, "counts the batches of training")


def _name_activation(account: Account, layer: RawLayer, stated_name: str | None, dice: str, where: str) -> None:
    """Join the activation that the settings name with what the file has of it."""
    name = (stated_name or "identity").lower()
    in_file = layer.activation
    weighted = name if name in WEIGHTED_ACTIVATIONS else None
    layer.activation = PLAIN_ACTIVATIONS.get(name, weighted)
    if name != "identity" and layer.activation is None:
        choices = ", ".join((*PLAIN_ACTIVATIONS, *WEIGHTED_ACTIVATIONS))
        account.offences.append(f"the activation {stated_name!r} of the head cannot be carried; known: {choices}")
    elif weighted != in_file:
        other = f"the weights of {in_file}" if in_file else "no weights of it"
        account.offences.append(f"{where} is said to be followed by {name}, and the file has {other}")
    elif weighted == "dice":
        layer.activation = dice
        _require_dice(account, layer, dice, where)


def _require_dice(account: Account, layer: RawLayer, dice: str, where: str) -> None:
    width, has_norm = layer.weight.size(0), "running_mean" in layer.parameters
    slopes = layer.parameters["slopes"].numel()
    expected = 1 if dice == "row_dice" else width
    if slopes != expected or has_norm != (dice == "dice"):
        account.offences.append(f"{where} has a Dice of {slopes} slopes; that of this library has {expected}")


def fold_head(raw: Sequence[RawLayer], dice_epsilon: float) -> tuple[HeadLayer, ...]:
    """Fold each BatchNorm into the linear layer before it, and layers without a function between them into one.

    In float64. `dice_epsilon` is what FuxiCTR's Dice adds to a variance.
    """
    layers: list[HeadLayer] = []
    for layer in raw:
        weight, bias = layer.weight.double(), layer.bias.double()
        if layer.norm:
            gamma, beta, mean, variance = (layer.norm[part].double() for part in NORM)
            factor = gamma / torch.sqrt(variance + NORM_EPSILON)
            weight, bias = weight * factor.unsqueeze(1), (bias - mean) * factor + beta
        if layers and layers[-1].activation is None:
            before = layers.pop()
            weight, bias = weight @ before.weight, weight @ before.bias + bias
        parameters = _activation_parameters(layer, weight.size(0), dice_epsilon)
        layers.append(HeadLayer(weight, bias, layer.activation, parameters))
    return tuple(layers)


def _activation_parameters(layer: RawLayer, width: int, epsilon: float) -> dict[str, Tensor]:
    parameters = {name: tensor.double() for name, tensor in layer.parameters.items()}
    if layer.activation == "prelu":
        return {"slopes": parameters["slopes"].expand(width).clone()}
    if layer.activation == "dice":
        scale = 1 / torch.sqrt(parameters["running_var"] + epsilon)
        shift = -parameters["running_mean"] * scale
        return {"slopes": parameters["slopes"], "scale": scale, "shift": shift}
    return {"slopes": parameters["slopes"]} if layer.activation == "row_dice" else {}
