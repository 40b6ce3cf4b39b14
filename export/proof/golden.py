"""The cases on which formats are compared, and the golden vectors that travel with a bundle.

The edge rows are those on which implementations differ: no item, one, too many, padding in odd places, unknown ids. The
others are histories of real held-out users.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from bst.config import INPUT_GROUPS, BSTConfig
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.errors import InputError
from bst.run.heldout import Heldout
from bst.system.files import DATA_BYTES, read_json
from export.contract.inputs import DTYPES, Array
from export.contract.parity import LARGEST, RUNNER_UP
from export.contract.signatures import USER_VECTOR, Signature, TopK
from export.proof.edges import OUT_OF_RANGE, edge_categories, edge_rows, edge_values

BATCH_SIZES = (1, 3, 64)
LARGE_NUMBERS = 5_000_000  # the largest batch is smaller where its scores of the whole catalogue are more than this
CANDIDATES = (1, 7, 100)
FEW_CANDIDATES = (1, 4, 7)  # where each is a sequence of its own, which takes memory
ALWAYS_STORED = ("full", "empty", "unknown_ids")
STORED_NUMBERS = 200_000  # but of these only the first where their outputs are more
NO_NUMBERS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}  # of inputs, by Python's names


@dataclass(frozen=True)
class Call:
    """One call: a name for what is special about it, and its inputs by index.

    `items` int64 `[batch, length]`, `context` int64 `[batch, num_context]`, `candidates` int64 `[batch, n]`, `k` the
    value of the input `k`, if there is one, `beside` what else the model reads, by the names of `INPUT_GROUPS`, and
    `user_vector` where a signature takes it. An index out of range stands for an unknown id.
    """

    name: str
    items: Array
    context: Array
    candidates: Array
    k: int
    beside: Mapping[str, Array] = field(default_factory=dict)

    @property
    def by_index(self) -> dict[str, Array]:
        """The arguments of `BST.forward` by name; indices may be out of range."""
        return {"items": self.items, "context": self.context, **self.beside}

    def inputs(self, signature: Signature, vocabularies: Vocabularies) -> dict[str, Array]:
        """Write the case as `signature` takes it."""
        arrays: dict[str, Array] = {**self.by_index, "candidates": self.candidates}
        if signature.ids == "raw":
            arrays = {"history": _raw(vocabularies.items, self.items)}
            if signature.takes("candidates"):
                arrays["candidates"] = _raw(vocabularies.items, self.candidates)
            arrays |= self._raw_beside(signature, vocabularies)
        arrays["k"] = np.array([self.k])
        return {spec.name: np.ascontiguousarray(arrays[spec.name]) for spec in signature.inputs}

    @property
    def sequences(self) -> list[str]:
        """The names of the other sequences than the history."""
        others = {USER_VECTOR, *(group.name for group in INPUT_GROUPS)}
        return [name for name in self.beside if name not in others]

    def _raw_beside(self, signature: Signature, vocabularies: Vocabularies) -> dict[str, Array]:
        """Part the columns of each group, and write categories as raw ids."""
        arrays = dict(self.beside) | {name: _raw(vocabularies.items, self.beside[name]) for name in self.sequences}
        numbers = [number for number in signature.inputs if number.dtype == "float32" and number.name != USER_VECTOR]
        for group in INPUT_GROUPS:
            for column, (name, vocabulary) in enumerate(vocabularies.of(group).items()):
                arrays[name] = _raw(vocabulary, self.by_index[group.name][..., column])
        return arrays | {spec.name: self.beside["numbers"][..., column] for column, spec in enumerate(numbers)}

    def padded(self, count: int) -> Call:
        """Return the same with `count` slots more of padding in front; what stands beside those says nothing."""

        def pad(values: Array, filling: int) -> Array:
            widths = ((0, 0), (count, 0), *[(0, 0)] * (values.ndim - 2))
            return np.pad(values, widths, constant_values=filling)

        per_event = {group.name for group in INPUT_GROUPS if group.per_event}
        beside = {name: pad(array, 1) if name in per_event else array for name, array in self.beside.items()}
        beside |= {name: pad(self.beside[name], 0) for name in self.sequences}
        return replace(self, items=pad(self.items, 0), beside=beside)

    def of_candidates(self, chosen: slice) -> Call:
        """Return some candidates of each row, with what is known of them."""
        per_candidate = {group.name for group in INPUT_GROUPS if group.per_candidate}
        beside = {name: array[:, chosen] if name in per_candidate else array for name, array in self.beside.items()}
        return replace(self, candidates=self.candidates[:, chosen], beside=beside)

    def rows(self, chosen: slice) -> Call:
        """Return some rows of the batch."""
        beside = {name: array[chosen] for name, array in self.beside.items()}
        items, context, candidates = (part[chosen] for part in (self.items, self.context, self.candidates))
        return replace(self, items=items, context=context, candidates=candidates, beside=beside)


@dataclass(frozen=True)
class GoldenCall:
    """A recorded call: the named inputs and the answer of eager float32, with the other arguments of `compare`."""

    name: str
    inputs: dict[str, Array]
    outputs: dict[str, Array]


def cases(config: BSTConfig, heldout: Heldout, top_k: TopK) -> list[Call]:
    """Make every case: the edge rows one by one and in one batch, then held-out users in several batch sizes.

    The lengths are 1, 7, the longest the model reads and one beyond. Candidates are 1, 7 and 100 a row (fewer where
    each is a sequence of its own), with unknown ones, padding and repeats among them. The same arguments give the same
    cases.
    """
    rng = np.random.default_rng(0)
    real, contexts = heldout.items.numpy(), heldout.context.numpy()
    beside_real = {name: tensor.numpy() for name, tensor in heldout.beside.items()}
    beside_rng = np.random.default_rng(1)
    calls: list[Call] = []
    once = config.scores_catalogue or config.history_once
    numbers = CANDIDATES if once else FEW_CANDIDATES

    def add(name: str, items: Array, context: Array, beside: Mapping[str, Array] | None = None) -> None:
        n = numbers[len(calls) % len(numbers)]
        candidates = rng.integers(1, config.num_items + 1, (len(items), n))
        if n > 1:
            strange = [OUT_OF_RANGE, 0, -1]
            candidates[:, 1:-1:4] = rng.choice(strange, candidates[:, 1:-1:4].shape)
            candidates[:, -1] = candidates[:, 0]
        k = top_k.limit if len(calls) % 2 else max(1, top_k.limit // 2)
        if beside is None:
            beside = edge_values(config, items.shape, beside_rng)
            if name in edges:  # so that a user of whom nothing is known is among the cases, and one of whom all is
                groups = config.sequence_groups
                beside |= {own.name: edge_rows(real, config.length_of(own))[name][None] for own in groups}
        for group in config.candidate_inputs:
            beside = {**beside, group.name: edge_categories(group, config, candidates.shape, beside_rng)}
        calls.append(Call(name, items, context, candidates, k, beside))

    edges = edge_rows(real, config.max_length)
    for position, (name, row) in enumerate(edges.items()):
        add(name, row[None], contexts[[position % len(contexts)]])
    unknown = np.full((1, contexts.shape[1]), OUT_OF_RANGE)
    add("unknown_context", edges["full"][None], unknown)
    add("negative_context", edges["full"][None], -unknown)
    width = config.max_length + 3
    mixed = np.stack([np.pad(row, (width - len(row), 0)) for row in edges.values()])
    add("edges_in_one_batch", mixed, contexts[np.arange(len(mixed)) % len(contexts)])
    large = min(BATCH_SIZES[-1], max(LARGE_NUMBERS // config.num_items, 5) if once else 5)
    for batch in (*BATCH_SIZES[:-1], large):
        rows = np.arange(batch) % len(real)
        for length in sorted({1, min(7, config.max_length), config.max_length, width}):
            padded = {"items": real[rows]}
            beside = {name: values[rows] for name, values in beside_real.items()}
            padded |= {group.name: beside[group.name] for group in config.inputs if group.per_event}
            for name, values in padded.items():
                missing = (max(width - real.shape[1], 0), 0)
                padded[name] = np.pad(values, ((0, 0), missing, *[(0, 0)] * (values.ndim - 2)))[:, -length:]
            for group in config.sequence_groups:  # the shorter the history, the longer this, and not as long
                beside[group.name] = beside[group.name][:, -max(1, width + 1 - length) :]
            add(f"users_{batch}x{length}", padded.pop("items"), contexts[rows], {**beside, **padded})
    return calls


def write_golden(folder: Path, signature: Signature, golden: list[GoldenCall], *, onnx_layout: bool) -> None:
    """Write `<signature>.json` into `folder`, and on request the same in ONNX's own layout beside it:
    `<signature>/test_data_set_N/{input_i,output_i}.pb`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "signature": signature.model_dump(mode="json"),
        "cases": [
            {"name": call.name, "inputs": _listed(call.inputs, NO_NUMBERS), "outputs": _listed(call.outputs, {})}
            for call in golden
        ],
    }
    (folder / f"{signature.name}.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    for number, call in enumerate(golden if onnx_layout else ()):
        data_set = folder / signature.name / f"test_data_set_{number}"
        data_set.mkdir(parents=True)
        outputs = {name: call.outputs[name] for name in signature.output_names}
        for kind, arrays in (("input", call.inputs), ("output", outputs)):
            for place, (name, array) in enumerate(arrays.items()):
                tensor = numpy_helper.from_array(array, name)
                onnx.save_tensor(tensor, str(data_set / f"{kind}_{place}.pb"))


def read_golden(folder: Path, signature: Signature) -> list[GoldenCall]:
    """Read `golden/<signature>.json`.

    Raises:
        InputError: the file is missing, or is not one of `write_golden`.
    """
    path = folder / f"{signature.name}.json"
    if not path.exists() and not path.is_symlink():
        raise InputError(f"{path} is missing, and its calls are needed here; restore it, or export with --golden small")
    values = read_json(path, "a folder of golden vectors", DATA_BYTES)

    def arrays(specs: Any, recorded: Any) -> dict[str, Array]:
        # Among inputs, which may be any float, texts stand for those that JSON lacks; numpy reads them.
        tensors = {spec.name: np.array(recorded[spec.name], dtype=DTYPES[spec.dtype]) for spec in specs}
        for name in {LARGEST, RUNNER_UP} & set(recorded):
            tensors[name] = np.array(recorded[name], dtype=np.float32)
        return tensors

    def answers(recorded: Any) -> dict[str, Array]:
        # null, which numpy reads as NaN, stands for -inf: JSON has no infinity, and an answer no NaN.
        return {
            name: np.where(np.isnan(array), np.float32(-np.inf), array) if array.dtype == np.float32 else array
            for name, array in arrays(signature.outputs, recorded).items()
        }

    try:
        calls = [
            GoldenCall(case["name"], arrays(signature.inputs, case["inputs"]), answers(case["outputs"]))
            for case in values["cases"]
        ]
        for call in calls:
            _require_whole(call)
        return calls
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InputError(f"{path} is not a file of golden vectors ({error}); export again") from None


def _require_whole(call: GoldenCall) -> None:
    """Raise a `ValueError` for a name or an id that should be text and is not, and for a scale that is not one number a
    row."""
    if not isinstance(call.name, str):
        raise ValueError(f"a case is called {call.name!r}, which is no text")
    for name, array in (*call.inputs.items(), *call.outputs.items()):
        if array.dtype == object and not all(isinstance(text, str) for text in array.flat):
            raise ValueError(f"{name} of {call.name!r} holds what is no text")
    rows = len(next(iter(call.outputs.values())))
    for name in {LARGEST, RUNNER_UP} & set(call.outputs):
        if call.outputs[name].shape != (rows,):
            raise ValueError(f"{name} of {call.name!r} is not one number a row")


def worth_storing(case: GoldenCall, most: int) -> bool:
    """Return whether a call travels with the bundle: those in `ALWAYS_STORED` do, others with at most so many
    numbers, of answers and of user vectors.
    """
    numbers = sum(array.size for array in (*case.outputs.values(), case.inputs.get(USER_VECTOR, np.empty(0))))
    if case.name in ALWAYS_STORED:
        return numbers <= STORED_NUMBERS or case.name == ALWAYS_STORED[0]
    return numbers <= most


def _raw(vocabulary: Vocabulary, indices: Array) -> Array:
    in_range = (indices >= 0) & (indices <= len(vocabulary))
    raw = vocabulary.raw(np.where(in_range, indices, 0))
    for strange, negative in ((indices > len(vocabulary), False), (indices < 0, True)):
        if strange.any():
            raw[strange] = _stranger(vocabulary, negative=negative)
    return raw


def _stranger(vocabulary: Vocabulary, *, negative: bool) -> int | str:
    """Make up an id that the vocabulary does not hold and that is not its padding."""
    if vocabulary.dtype == "string":
        candidates: Any = (f"{'-' if negative else ''}no-such-id-{number}" for number in range(len(vocabulary) + 2))
    else:
        candidates = (-number if negative else 2**62 - number for number in range(2, len(vocabulary) + 5))
    stranger: int | str = next(
        candidate for candidate in candidates if candidate != vocabulary.padding and candidate not in vocabulary.ids
    )
    return stranger


def _listed(arrays: dict[str, Array], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: _decimals(array, names) if array.dtype == np.float32 else array.tolist() for name, array in arrays.items()
    }


def _decimals(array: Array, names: Mapping[str, str]) -> Any:
    """List floats; what is not finite by its name, or as null."""
    # By way of text, a float32 becomes the shortest decimal that reads back as the same float32.
    decimals = array.astype(str).astype(np.float64).astype(object)
    decimals[~np.isfinite(array)] = [names.get(str(value)) for value in decimals[~np.isfinite(array)]]
    return decimals.tolist()
