"""One user as `bst recommend` is told of them: texts, read as the bundle's ids, times and numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bst.config import InputGroup
from bst.data.vocabulary import Vocabularies
from bst.errors import InputError
from bst.system.text import split_list
from export.contract.manifest import Description, VocabularyFacts
from export.sessions.users import Id, Value, named_inputs


@dataclass(frozen=True)
class TypedUser:
    """The arguments of `Recommender.recommend`; `strangers` are values that the model does not know."""

    history: list[Id]
    context: dict[str, Value]
    events: dict[str, list[Value]]
    strangers: list[str]


def typed_user(
    manifest: Description, vocabularies: Vocabularies, history: str, context: Sequence[str], events: Sequence[str]
) -> TypedUser:
    """Read one user.

    Args:
        history: ids, separated by commas.
        context: texts such as `gender=F` or `gender=F,age=30`.
        events: texts such as `kind=view,buy`, with a value for each of the history, empty where one is not known.

    Raises:
        InputError: a name is none of the model, or a value is none of its kind.
    """
    items = [_id(text, manifest.items, "--history") for text in split_list(history)]
    user = TypedUser(items, {}, {}, [str(item) for item in items if not vocabularies.items.indices([item])[0]])
    parted = [part for option in context for part in option.split(",")]
    for option, pairs, of in (("--context", parted, "request"), ("--event", events, "event")):
        per_event = of == "event"
        texts = _texts(option, pairs, named_inputs(manifest, of))
        for name, (group, text) in texts.items():
            facts, vocabulary = manifest.vocabularies_of(group).get(name), vocabularies.of(group).get(name)
            parts = text.split(",") if per_event else [text]
            row = [_value(part, group, facts, f"{option} {name}") for part in parts]
            if vocabulary:
                unknown = (value for value in row if value not in (None, "") and not vocabulary.indices([value])[0])
                user.strangers.extend(f"{name}={value}" for value in unknown)
            if per_event:
                user.events[name] = row
            else:
                user.context[name] = row[0]
    return user


def _texts(option: str, pairs: Sequence[str], inputs: dict[str, InputGroup]) -> dict[str, tuple[InputGroup, str]]:
    texts: dict[str, tuple[InputGroup, str]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or name not in inputs or name in texts:
            names = ", ".join(inputs) or "none"
            raise InputError(f"{option} {pair!r} is not one of NAME=VALUE with a feature of the model, once: {names}")
        texts[name] = inputs[name], text
    return texts


def _value(text: str, group: InputGroup, facts: VocabularyFacts | None, option: str) -> Value:
    """Read one value; an empty text is None but for a category that is a text."""
    if facts is not None and (text or facts.dtype == "string" or not group.per_event):
        return _id(text, facts, option)
    if not text:
        return None
    try:
        return int(text) if group.holds == "seconds" else float(text)
    except ValueError:
        kind = "time in seconds since 1970" if group.holds == "seconds" else "number"
        raise InputError(f"{option}: {text!r} is no {kind}; leave it empty where it is not known") from None


def _id(text: str, facts: VocabularyFacts, option: str) -> Id:
    if facts.dtype == "string":
        return text
    # Python alone would take 1_198 and digits of other scripts too, and reads no number of thousands of digits.
    number = int(text) if re.fullmatch(r"[-+]?[0-9]{1,99}", text) else 2**64
    if not -(2**63) <= number < 2**63:
        raise InputError(f"{option}: {text!r} is not an id of this model; its ids are integers of 64 bits")
    return number
