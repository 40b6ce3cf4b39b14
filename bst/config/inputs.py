"""The inputs of a model beside the items: the kinds that there are, and those that a model has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, Self

from pydantic import model_validator

from bst.config.values import Above0, Finite, Frozen, Positive, check_names

NUMBER_BOUND = 10.0  # deviations from the mean; a number beyond counts as that many
EVENT_TIME, REQUEST_TIME = "event_time", "request_time"


class Named(Frozen):
    """An input with a name of its own, which must be possible in every language."""

    kind: ClassVar[str] = "input"
    name: str

    @model_validator(mode="after")
    def _name_can_be_an_input(self) -> Self:
        check_names((self.name,), self.kind)
        return self


class ContextFeature(Named):
    """One categorical input beside the history. Index 0 is the unknown category, a row of its own."""

    kind = "context feature"
    num_categories: Positive
    dim: Positive


class EventFeature(Named):
    """A category of each past event, such as its kind. Index 0 is the unknown category, a row of its own."""

    kind = "event feature"
    num_categories: Positive


class CandidateFeature(Named):
    """A category of each candidate of a click model that is no property of the item, such as the kind of event that it
    would be. Index 0 is the unknown category, a row of its own.
    """

    kind = "candidate feature"
    num_categories: Positive


class Number(Named):
    """A number, float32, which the model takes as (number - `mean`) / `deviation`, within `bound` of 0.

    What is not finite is unknown: the model takes the mean, and is told so.
    """

    kind = "number"
    mean: Finite
    deviation: Above0
    bound: Above0 = NUMBER_BOUND


class WithInputs(Protocol):
    """What decides the inputs of a model: fields of `BSTConfig`."""

    @property
    def context(self) -> tuple[ContextFeature, ...]: ...
    @property
    def event_features(self) -> tuple[EventFeature, ...]: ...
    @property
    def event_times(self) -> str: ...
    @property
    def numbers(self) -> tuple[Number, ...]: ...
    @property
    def candidate_features(self) -> tuple[CandidateFeature, ...]: ...


AXES = {"request": ("batch",), "event": ("batch", "length"), "candidate": ("batch", "n")}


@dataclass(frozen=True)
class InputGroup:
    """Inputs of one kind. By index they are one tensor; as a caller gives them, each is one of its own.

    Attributes:
        name: of the tensor.
        holds: `categories` of a vocabulary; `seconds` since 1970, where 0 and less are unknown; `numbers`, where what
            is not finite is unknown; `items`, as the history does.
        of: what an input has a value for: each `request`, `[batch]`, each `event` of the history, `[batch, length]`,
            each `candidate`, `[batch, n]`, or each event of a `sequence` of its own, `[batch, NAME_length]`.
        stacked: the tensor has a last axis, with a column an input; else there is one input, of the tensor's name.
        names: of the inputs that a model has, in the order of the columns.
        counts: how many categories each of them has.
    """

    name: str
    holds: Literal["categories", "seconds", "numbers", "items"]
    of: Literal["request", "event", "candidate", "sequence"]
    stacked: bool
    names: Callable[[WithInputs], tuple[str, ...]]
    counts: Callable[[WithInputs], tuple[int, ...]] = lambda config: ()

    def axes(self, config: WithInputs) -> tuple[str | int, ...]:
        """Return the axes of the tensor."""
        return (*self.input_axes, *((len(self.names(config)),) if self.stacked else ()))

    @property
    def input_axes(self) -> tuple[str, ...]:
        """The axes of an input as a caller gives it."""
        return ("batch", f"{self.name}_length") if self.of == "sequence" else AXES[self.of]

    @property
    def per_event(self) -> bool:
        return self.of == "event"

    @property
    def per_candidate(self) -> bool:
        return self.of == "candidate"


def _timed(name: str) -> Callable[[WithInputs], tuple[str, ...]]:
    return lambda config: (name,) if config.event_times != "none" else ()


# In the order in which a signature takes them: after the items, those of candidates after the candidates.
INPUT_GROUPS = (
    InputGroup(
        "events",
        "categories",
        of="event",
        stacked=True,
        names=lambda config: tuple(feature.name for feature in config.event_features),
        counts=lambda config: tuple(feature.num_categories for feature in config.event_features),
    ),
    InputGroup(EVENT_TIME, "seconds", of="event", stacked=False, names=_timed(EVENT_TIME)),
    InputGroup(REQUEST_TIME, "seconds", of="request", stacked=False, names=_timed(REQUEST_TIME)),
    InputGroup(
        "context",
        "categories",
        of="request",
        stacked=True,
        names=lambda config: tuple(feature.name for feature in config.context),
        counts=lambda config: tuple(feature.num_categories for feature in config.context),
    ),
    InputGroup(
        "numbers",
        "numbers",
        of="request",
        stacked=True,
        names=lambda config: tuple(number.name for number in config.numbers),
    ),
    InputGroup(
        "candidate_features",
        "categories",
        of="candidate",
        stacked=True,
        names=lambda config: tuple(feature.name for feature in config.candidate_features),
        counts=lambda config: tuple(feature.num_categories for feature in config.candidate_features),
    ),
)
