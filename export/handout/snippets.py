"""Calls of a signature in Python, C++ and JavaScript: whole programs, which run in the bundle's folder.

The last output of every signature is float32; `top_k` has ids before it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from bst.config import BSTConfig, InputGroup
from bst.data.vocabulary import Vocabularies
from bst.system.templates import render
from export.contract.manifest import Description
from export.contract.signatures import Signature, TensorSpec
from export.formats import Snippet

EXAMPLE_LENGTH = 2
EXAMPLE_TIME = 1_700_000_000
CPP_READS = {
    "string": "GetStringTensorElement(place)",
    "int64": "GetTensorData<int64_t>()[place]",
    "float32": "GetTensorData<float>()[place]",
}


@dataclass(frozen=True)
class Program:
    """A program as text, with its title and language, and the shell lines that run it."""

    title: str
    language: str
    code: str
    commands: str


@dataclass(frozen=True)
class ExampleInput:
    """An input of one user, flat, and how each language writes it."""

    spec: TensorSpec
    values: list[Any]

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def dtype(self) -> str:
        return self.spec.dtype

    @property
    def shape(self) -> list[int]:
        last = len(self.values) // EXAMPLE_LENGTH if len(self.spec.shape) == 3 else len(self.values)
        return {1: [last], 2: [1, last], 3: [1, EXAMPLE_LENGTH, last]}[len(self.spec.shape)]

    @property
    def nested(self) -> str:
        """The values as a list of Python, with a list a row."""
        return repr(np.array(self.values, dtype=object).reshape(self.shape).tolist())

    @property
    def torch(self) -> str:
        if self.dtype == "string":
            return self.nested
        return f"torch.tensor({self.nested}{', dtype=torch.float32' if self.dtype == 'float32' else ''})"

    @property
    def quoted(self) -> list[str]:
        """The texts as C++, JavaScript and JSON quote them."""
        return [json.dumps(value, ensure_ascii=False) for value in self.values]

    @property
    def javascript(self) -> str:
        if self.dtype == "string":
            return f"[{', '.join(self.quoted)}]"
        if self.dtype == "float32":
            return f"Float32Array.from([{', '.join(map(str, self.values))}])"
        return f"BigInt64Array.from([{', '.join(f'{value}n' for value in self.values)}])"


def example(signature: Signature, vocabularies: Vocabularies, config: BSTConfig, k: int) -> list[ExampleInput]:
    """Make the inputs of one user whose history is the first items of the vocabulary."""
    count = min(EXAMPLE_LENGTH, len(vocabularies.items))
    values: dict[str, list[Any]] = {"items": [1, 2][:count], "history": vocabularies.items.ids[:2].to_list(), "k": [k]}
    for group in (*config.inputs, *config.candidate_inputs):
        if group.holds == "items":  # of another length than the history
            values[group.name] = values[signature.inputs[0].name][-1:]
            continue
        for name in group.names(config):
            values[name] = _example_values(name, group, vocabularies, config, count)
        if signature.ids == "index" and group.stacked:
            columns = [values[name] for name in group.names(config)]
            values[group.name] = [
                1 if group.holds == "categories" else value for row in zip(*columns, strict=True) for value in row
            ]
    values["candidates"] = values[signature.inputs[0].name]
    return [ExampleInput(spec, values[spec.name]) for spec in signature.inputs]


def _example_values(
    name: str, group: InputGroup, vocabularies: Vocabularies, config: BSTConfig, count: int
) -> list[Any]:
    if group.holds == "categories":
        return vocabularies.of(group)[name].ids[:1].to_list() * (1 if group.of == "request" else count)
    if group.holds == "seconds":
        hours = [EXAMPLE_TIME + 3600 * place for place in range(count)]
        return hours if group.per_event else [EXAMPLE_TIME + 86_400]
    return [round(number.mean, 2) for number in config.numbers if number.name == name]


def write_snippet(snippet: Snippet, signature: Signature, vocabularies: Vocabularies, manifest: Description) -> Program:
    """Fill the template of `snippet` with the `example` of `signature`, and its commands with versions."""
    code = render(
        snippet.template,
        name=signature.name,
        inputs=example(signature, vocabularies, manifest.model, manifest.settings.top_k.limit),
        outputs=signature.output_names,
        reads=[CPP_READS[spec.dtype] for spec in signature.outputs],
    )
    # 2.13.0+cpu is the name of 2.13.0 in a build of its own, which no index has.
    versions = {name: number.partition("+")[0] for name, number in manifest.versions.items()}
    commands = snippet.commands.format_map(versions)
    return Program(snippet.title, snippet.language, code.rstrip("\n"), commands)
