"""The cases on which formats are compared, and the golden vectors that travel with a bundle.

The edge rows are those on which sequence models part: nothing, one item, too many, padding in odd places, ids that
nobody knows. The others are histories of real held-out users.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from bst.checkpoint import Heldout
from bst.config import BSTConfig
from bst.errors import InputError
from bst.files import read_json
from bst.vocabulary import Vocabularies, Vocabulary
from export.parity import RUNNER_UP
from export.signatures import Ids, Signature

Array = NDArray[Any]
BATCH_SIZES = (1, 3, 64)
GOLDEN_NUMBERS = 60_000  # a call with more output than this is compared at export but not stored
ALWAYS_STORED = ("empty", "full", "unknown_ids")
OUT_OF_RANGE = 10**6


@dataclass(frozen=True)
class Case:
    """One call: a name that says what is special about it, and its named inputs."""

    name: str
    inputs: dict[str, Array]


@dataclass(frozen=True)
class GoldenCase:
    """A recorded call: the case and what eager float32 answered, for `top_k` with the runner-up (see `compare`)."""

    case: Case
    outputs: dict[str, Array]


def cases(config: BSTConfig, vocabularies: Vocabularies, heldout: Heldout, ids: Ids) -> Iterator[Case]:
    """Yield every case: the edge rows one by one and in one batch, then held-out users in several batch sizes.

    The lengths are 1, 7, the longest the model reads and one beyond. The same arguments give the same cases.
    """
    real, context = heldout.items.numpy(), heldout.context.numpy()
    edges = _edge_rows(real, config.max_length)
    for position, (name, row) in enumerate(edges.items()):
        yield _case(name, row[None], context[[position % len(context)]], vocabularies, ids)
    unknown = np.full((1, context.shape[1]), OUT_OF_RANGE)
    yield _case("unknown_context", edges["full"][None], unknown, vocabularies, ids)
    yield _case("negative_context", edges["full"][None], -unknown, vocabularies, ids)
    width = config.max_length + 3
    mixed = np.stack([np.pad(row, (width - len(row), 0)) for row in edges.values()])
    chosen = np.arange(len(mixed)) % len(context)
    yield _case("edges_in_one_batch", mixed, context[chosen], vocabularies, ids)
    for batch in BATCH_SIZES:
        rows = np.arange(batch) % len(real)
        for length in sorted({1, min(7, config.max_length), config.max_length, width}):
            items = np.pad(real[rows], ((0, 0), (max(width - real.shape[1], 0), 0)))[:, -length:]
            yield _case(f"users_{batch}x{length}", items, context[rows], vocabularies, ids)


def write_golden(folder: Path, signature: Signature, golden: list[GoldenCase]) -> None:
    """Write `golden/<signature>.json`, and the same in ONNX's own layout `golden/<signature>/test_data_set_N/*.pb`."""
    folder.mkdir(exist_ok=True)
    values = {
        "signature": signature.model_dump(mode="json"),
        "cases": [
            {"name": one.case.name, "inputs": _listed(one.case.inputs), "outputs": _listed(_finite(one.outputs))}
            for one in golden
        ],
    }
    (folder / f"{signature.name}.json").write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    for number, one in enumerate(golden):
        data_set = folder / signature.name / f"test_data_set_{number}"
        data_set.mkdir(parents=True)
        outputs = {name: one.outputs[name] for name in signature.output_names}
        for kind, arrays in (("input", one.case.inputs), ("output", outputs)):
            for place, (name, array) in enumerate(arrays.items()):
                tensor = numpy_helper.from_array(array, name)
                onnx.save_tensor(tensor, str(data_set / f"{kind}_{place}.pb"))


def read_golden(folder: Path, signature: Signature) -> list[GoldenCase]:
    """Read `golden/<signature>.json`.

    Raises:
        InputError: the file is missing or not what `write_golden` writes.
    """
    path = folder / f"{signature.name}.json"
    values = read_json(path, "a folder of golden vectors")
    dtypes = {"int64": np.int64, "float32": np.float32, "string": object}

    def arrays(specs: Any, given: Any) -> dict[str, Array]:
        found = {spec.name: np.array(given[spec.name], dtype=dtypes[spec.dtype]) for spec in specs}
        if RUNNER_UP in given:
            found[RUNNER_UP] = np.array(given[RUNNER_UP], dtype=np.float32)
        return found

    try:
        return [
            GoldenCase(
                Case(one["name"], arrays(signature.inputs, one["inputs"])), arrays(signature.outputs, one["outputs"])
            )
            for one in values["cases"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a file of golden vectors ({error}); export again") from None


def worth_storing(signature: Signature, case: Case) -> bool:
    """Whether a call travels with the bundle: those in `ALWAYS_STORED` do, others if their outputs are few."""
    batch = len(next(iter(case.inputs.values())))
    few = batch * sum(int(spec.shape[1]) for spec in signature.outputs) <= GOLDEN_NUMBERS
    return few or case.name in ALWAYS_STORED


def _edge_rows(real: NDArray[np.int64], max_length: int) -> dict[str, NDArray[np.int64]]:
    """Index-level rows; `OUT_OF_RANGE` stands for an id that nobody knows."""
    items = real[real > 0]
    one, some = int(items[0]), np.resize(items, min(5, max_length))
    full = np.resize(items, max_length)
    gap = np.zeros(max(max_length - len(some), 1), dtype=np.int64)
    half = len(some) // 2
    return {
        "empty": np.zeros(max_length, dtype=np.int64),
        "empty_of_length_one": np.zeros(1, dtype=np.int64),
        "one_item": np.array([one]),
        "full": full,
        "longer_than_max_length": np.concatenate([full[::-1], some])[: max_length + 3],
        "all_the_same": np.full(max_length, one),
        "padding_left": np.concatenate([gap, some]),
        "padding_middle": np.concatenate([some[:half], gap, some[half:]]),
        "padding_right": np.concatenate([some, gap]),
        "unknown_ids": np.concatenate([some, [OUT_OF_RANGE], some[:1]])[:max_length],
        "only_unknown_ids": np.full(min(3, max_length), OUT_OF_RANGE),
        "negative_ids": np.concatenate([[-1], some, [-OUT_OF_RANGE]])[:max_length],
        "duplicates": np.repeat(some, 2)[:max_length],
    }


def _case(name: str, items: Array, context: Array, vocabularies: Vocabularies, ids: Ids) -> Case:
    if ids == "index":
        inputs = {"items": np.ascontiguousarray(items, dtype=np.int64)}
        if context.shape[1]:
            inputs["context"] = np.ascontiguousarray(context, dtype=np.int64)
        return Case(name, inputs)
    inputs = {"history": _raw(vocabularies.items, items)}
    for column, (feature, vocabulary) in enumerate(vocabularies.context.items()):
        inputs[feature] = _raw(vocabulary, context[:, column])
    return Case(name, inputs)


def _raw(vocabulary: Vocabulary, indices: Array) -> Array:
    known = (indices >= 0) & (indices <= len(vocabulary))
    raw = vocabulary.raw(np.where(known, indices, 0))
    raw[indices > len(vocabulary)] = _stranger(vocabulary, negative=False)
    raw[indices < 0] = _stranger(vocabulary, negative=True)
    return raw


def _stranger(vocabulary: Vocabulary, *, negative: bool) -> int | str:
    """Make up an id that the vocabulary does not hold and that is not its padding."""
    if vocabulary.dtype == "string":
        candidates: Any = (f"{'-' if negative else ''}no-such-id-{number}" for number in range(len(vocabulary) + 2))
    else:
        candidates = (-number if negative else 2**62 - number for number in range(2, len(vocabulary) + 5))
    taken = {vocabulary.padding, *vocabulary.ids.to_list()}
    stranger: int | str = next(one for one in candidates if one not in taken)
    return stranger


def _finite(outputs: dict[str, Array]) -> dict[str, Array]:
    """Leave out a runner-up that is not there: JSON knows no infinity."""
    return {name: array for name, array in outputs.items() if name != RUNNER_UP or np.isfinite(array).all()}


def _listed(arrays: dict[str, Array]) -> dict[str, Any]:
    # By way of text, a float32 becomes the shortest decimal that reads back as the same float32.
    return {
        name: array.astype(str).astype(np.float64).tolist() if array.dtype == np.float32 else array.tolist()
        for name, array in arrays.items()
    }
