"""Presets: settings of a model by one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bst.config.model import Architecture
from bst.errors import InputError
from bst.system.registry import Registry


@dataclass(frozen=True)
class Preset:
    """Settings of `[model]` that belong together; the others keep their own values."""

    name: str
    model: Mapping[str, Any]


PRESETS = Registry(
    "preset",
    [
        # The model of the notebook that this project began with.
        Preset("notebook", {"head_widths": (1024,), "pooling": "mean", "padding": "counted", "tied_output": False}),
    ],
)


def with_preset(model: Architecture, name: str) -> Architecture:
    """Return `model` with the settings of a preset.

    Raises:
        InputError: there is no such preset, or `model` was given another value for one of its settings.
    """
    preset = PRESETS.find(name)
    chosen = {key: getattr(model, key) for key in model.model_fields_set}
    contradictions = [
        f"{key}={chosen[key]!r} (the preset has {value!r})"
        for key, value in preset.model.items()
        if key in chosen and chosen[key] != value
    ]
    if contradictions:
        raise InputError(f"--preset {name} contradicts {', '.join(contradictions)}; leave one of them out")
    return Architecture(**{**chosen, **preset.model})
