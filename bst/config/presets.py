"""Presets: settings of a model by one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bst.config.architecture import Architecture, defaults_beside
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
        Preset(
            "notebook",
            {
                **{"head_widths": (1024,), "pooling": "mean", "padding": "counted", "tied_output": False},
                "place_vectors": "sinusoidal",
            },
        ),
        # Chen et al., "Behavior Sequence Transformer for E-commerce Recommendation in Alibaba" (2019), section 2 and
        # table 2. Their place is the time from an event to the request.
        Preset(
            "paper",
            {
                **{"task": "click", "pooling": "target", "tied_output": False, "num_blocks": 1, "num_heads": 8},
                **{"max_length": 20, "places": "none", "event_times": "to_request", "activation": "leaky_relu"},
                **{"head_widths": (1024, 512, 256), "dropout": 0.2},
            },
        ),
    ],
)


def with_preset(model: Architecture, name: str) -> Architecture:
    """Return `model` with the settings of a preset.

    Raises:
        InputError: there is no such preset, or `model` was given another value for one of its settings.
    """
    preset = PRESETS.find(name)
    defaults = defaults_beside(model.model_dump())
    chosen = {key: getattr(model, key) for key in model.model_fields_set}
    chosen = {key: value for key, value in chosen.items() if key == "task" or defaults.get(key) != value}
    contradictions = [
        f"{key}={chosen[key]!r} (the preset has {value!r})"
        for key, value in preset.model.items()
        if key in chosen and chosen[key] != value
    ]
    if contradictions:
        raise InputError(f"--preset {name} contradicts {', '.join(contradictions)}; leave one of them out")
    return Architecture(**{**chosen, **preset.model})
