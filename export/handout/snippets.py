"""Calls of a signature in Python, C++ and JavaScript: whole programs, which run in the bundle's folder.

The last output of every signature is float32; `top_k` has ids before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bst.data.vocabulary import Vocabularies
from bst.system.templates import render
from export.contract.signatures import Signature, TensorSpec
from export.formats import Snippet

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
        size = len(self.values)
        return [1, size] if len(self.spec.shape) == 2 else [size]

    @property
    def nested(self) -> str:
        """The values as a list of Python, with a list a row."""
        return repr([self.values] if len(self.spec.shape) == 2 else self.values)

    @property
    def torch(self) -> str:
        return self.nested if self.dtype == "string" else f"torch.tensor({self.nested})"

    @property
    def quoted(self) -> list[str]:
        """The texts as C++, JavaScript and JSON quote them."""
        return [json.dumps(value, ensure_ascii=False) for value in self.values]

    @property
    def javascript(self) -> str:
        if self.dtype == "string":
            return f"[{', '.join(self.quoted)}]"
        return f"BigInt64Array.from([{', '.join(f'{value}n' for value in self.values)}])"


def example(signature: Signature, vocabularies: Vocabularies, k: int) -> list[ExampleInput]:
    """Make the inputs of one user whose history is the first items of the vocabulary."""
    if signature.ids == "index":
        values = {"items": [1, 2][: len(vocabularies.items)], "context": [1] * len(vocabularies.context)}
    else:
        values = {"history": vocabularies.items.ids[:2].to_list()}
        values |= {name: vocabulary.ids[:1].to_list() for name, vocabulary in vocabularies.context.items()}
    values |= {"candidates": values[signature.inputs[0].name], "k": [k]}
    return [ExampleInput(spec, values[spec.name]) for spec in signature.inputs]


def write_snippet(
    snippet: Snippet, signature: Signature, vocabularies: Vocabularies, k: int, versions: Mapping[str, str]
) -> Program:
    """Fill the template of `snippet` with the `example` of `signature`, and its commands with `versions`."""
    code = render(
        snippet.template,
        name=signature.name,
        inputs=example(signature, vocabularies, k),
        outputs=signature.output_names,
        reads=[CPP_READS[spec.dtype] for spec in signature.outputs],
    )
    # 2.13.0+cpu is the name of 2.13.0 in a build of its own, which no index has.
    commands = snippet.commands.format_map({name: number.partition("+")[0] for name, number in versions.items()})
    return Program(snippet.title, snippet.language, code.rstrip("\n"), commands)
