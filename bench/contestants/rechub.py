"""The opponents of a bundle that was imported from torch-rechub: the library's own class, and the library's own export.

Both take a row for each candidate, with the history in each, by the library's indices; ids are looked up and rows are
written before the clock starts.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.contestants.backends import Open
from bst.data.vocabulary import Vocabulary
from bst.errors import InputError
from bst.imports.rankers.folding import fold, rows_of_items
from bst.imports.rankers.ranker import Field, Ranker
from bst.imports.torch_rechub.description import Description
from bst.imports.torch_rechub.reader import TABLES, read_torch_rechub
from export import Bundle, Session
from export.contract.inputs import Array, Arrays
from export.contract.signatures import Signature
from export.formats.quiet import quiet
from export.sessions.session import OnnxSession

PACKAGE = "torch_rechub"
FILE = "model.onnx"
Rows = dict[str, NDArray[Any]]


def lacks_rechub(bundle: Bundle) -> str | None:
    return None if importlib.util.find_spec(PACKAGE) else "torch-rechub is not installed; pip install torch-rechub"


@dataclass(frozen=True)
class Original:
    """The model that a bundle was imported from, as its folder has it.

    Attributes:
        tensors: of the model file, by name.
    """

    ranker: Ranker
    description: Description
    tensors: Mapping[str, Tensor]

    @classmethod
    def read(cls, folder: Path, bundle: Bundle) -> Original:
        """Read the folder that `bst import torch-rechub` read.

        Raises:
            InputError: as the import, or the bundle is of another model.
        """
        ranker, description, account = read_torch_rechub(folder)
        config, _, vocabularies = fold(ranker, account)
        if config != bundle.manifest.model or vocabularies.to_dict() != bundle.vocabularies.to_dict():
            raise InputError(f"{folder} holds another model than the one that the bundle was imported from")
        return cls(ranker, description, account.tensors)

    def model(self) -> torch.nn.Module:
        """Build the library's class with these weights."""
        features, ranking = import_module(f"{PACKAGE}.basic.features"), import_module(f"{PACKAGE}.models.ranking")

        def sized(role: str) -> list[dict[str, Any]]:
            return [
                {
                    "name": name,
                    "vocab_size": (table := self.tensors[f"{TABLES}.{owner}.weight"]).size(0),
                    "embed_dim": table.size(1),
                    "shared_with": None if owner == name else owner,
                }
                for name, owner in self.description.owners[role].items()
            ]

        widths = [
            tensor.size(0) for name, tensor in self.tensors.items() if name.startswith("mlp.") and tensor.dim() == 2
        ]
        beside = [features.SparseFeature(**values) for values in sized("context")]
        with quiet():  # torch advises another class
            model: torch.nn.Module = ranking.BST(
                features=[*beside, *(features.DenseFeature(name) for name in self.description.dense)],
                history_features=[features.SequenceFeature(**values, pooling="concat") for values in sized("history")],
                target_features=[features.SparseFeature(**values) for values in sized("target")],
                mlp_params={"dims": widths[:-1], "activation": self.description.mlp_activation},
                nhead=self.description.num_heads,
                num_layers=len(self.ranker.cells),
                max_seq_len=self.tensors["pos_embedding.weight"].size(0),
            )
        model.load_state_dict(dict(self.tensors))
        return model.eval()


class RowsOfLibrary:
    """The rows that the library takes for a call of the bundle by index: the indices of its own tables, by feature."""

    def __init__(self, original: Original, bundle: Bundle) -> None:
        ranker, vocabularies = original.ranker, bundle.vocabularies
        self.names = original.description.owners
        self.dense = original.description.dense
        self.length, self.on_the_right = original.description.length, original.description.padding == "post"
        items = vocabularies.items.ids.to_list()
        self.of_items: dict[str, NDArray[np.int64]] = {}
        for part, in_history in ((ranker.history, True), (ranker.target, False)):
            for field in part:
                target = ranker.partners.get(field.name, "") if in_history else field.name
                if ranker.is_of_item(target):
                    self.of_items[field.name] = np.array([0, *rows_of_items(ranker, field, target, items)])
        self.events, self.candidates, self.context = (
            {field.name: _by_index(field, own) for field, own in zip(part, own_vocabularies.values(), strict=True)}
            for part, own_vocabularies in (
                (ranker.event_fields, vocabularies.events),
                (ranker.candidate_fields, vocabularies.candidate_features),
                (ranker.context, vocabularies.context),
            )
        )

    def of(self, inputs: Mapping[str, Array]) -> Rows:
        """Write the rows of a call, `[batch * n, ...]` each; rows of a user stand together."""
        items, candidates = inputs["items"], inputs["candidates"]
        beside = {group: inputs.get(group) for group in ("events", "candidate_features", "context", "numbers")}
        rows: Rows = {}
        place = _places(items > 0, self.length, on_the_right=self.on_the_right)
        for name in self.names["history"]:
            rows[name] = self._rows(name, items, self.events, beside["events"])
            rows[name] = np.take_along_axis(np.where(items > 0, rows[name], 0), place, axis=1)
            rows[name] = np.pad(rows[name], self._padding(self.length - place.shape[1]))
        for name in self.names["context"].keys() - self.names["target"].keys():  # else the head reads a target again
            rows[name] = self._rows(name, None, self.context, beside["context"])
        for column, name in enumerate(self.dense):
            rows[name] = np.nan_to_num(_columns(beside["numbers"])[:, column, None])
        rows = {name: np.repeat(values, candidates.shape[1], axis=0) for name, values in rows.items()}
        for name in self.names["target"]:
            rows[name] = self._rows(name, candidates, self.candidates, beside["candidate_features"]).reshape(-1)
        return rows

    def _padding(self, count: int) -> list[tuple[int, int]]:
        return [(0, 0), (0, count) if self.on_the_right else (count, 0)]

    def _rows(
        self, name: str, items: Array | None, own: Mapping[str, NDArray[np.int64]], beside: Array | None
    ) -> NDArray[Any]:
        """Look a feature up: by the item, or in its own column of what stands beside."""
        if items is not None and name in self.of_items:
            return self.of_items[name][items]
        return own[name][_columns(beside)[..., list(own).index(name)]]


def _columns(beside: Array | None) -> Array:
    assert beside is not None  # the model has such an input
    return beside


def _by_index(field: Field, vocabulary: Vocabulary) -> NDArray[np.int64]:
    return np.array([field.unknown, *(field.index[value] for value in vocabulary.ids.to_list())])


def _places(real: NDArray[np.bool_], length: int, *, on_the_right: bool) -> NDArray[np.int64]:
    """Return the places of the newest `length` slots of each row with the padding on one side, int64 `[batch, up to
    length]`; the order of real slots stays."""
    newest = np.argsort(real, axis=1, kind="stable")[:, -length:]
    if not on_the_right:
        return newest
    order = np.argsort(~np.take_along_axis(real, newest, axis=1), axis=1, kind="stable")
    return np.take_along_axis(newest, order, axis=1)


class WithScores:
    """The library's class, which gives probabilities, with the numbers that enter its last sigmoid beside them."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model, self.kept = model, threading.local()
        model.get_submodule("mlp.mlp").register_forward_hook(self._keep)

    def __call__(self, rows: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.model(rows), self.kept.scores

    def _keep(self, module: torch.nn.Module, arguments: object, scores: Tensor) -> None:
        self.kept.scores = scores


class LibrarySession(Session):
    """The library behind a signature by index.

    Args:
        convert: makes the rows what `call` takes.
        call: gives probabilities and scores, a number a row each.
    """

    def __init__(
        self,
        signature: Signature,
        rows: RowsOfLibrary,
        convert: Callable[[Rows], Any],
        call: Callable[[Any], Sequence[Any]],
    ) -> None:
        super().__init__(signature)
        self.rows, self.convert, self.call = rows, convert, call

    def prepare(self, inputs: Mapping[str, Array]) -> tuple[Any, tuple[int, ...]]:
        return self.convert(self.rows.of(inputs)), inputs["candidates"].shape

    def mode(self) -> AbstractContextManager[Any]:
        return torch.inference_mode()

    def run(self, prepared: tuple[Any, tuple[int, ...]]) -> Any:
        rows, shape = prepared
        return [numbers.reshape(shape) for numbers in self.call(rows)]

    def finish(self, outputs: Any) -> Arrays:
        return self.named([np.asarray(numbers) for numbers in outputs])


def build_class(bundle: Bundle, signature: str, folder: Path, source: Path | None) -> Open:
    """Build the library's class from its folder, to see that it can be built."""
    assert source is not None  # the folder of the import
    Original.read(source, bundle).model()
    return partial(open_class, source=source.absolute())


def build_export(bundle: Bundle, signature: str, folder: Path, source: Path | None) -> Open:
    """Export the library's class as the library does."""
    assert source is not None
    model = Original.read(source, bundle).model()
    import_module(f"{PACKAGE}.utils.onnx_export").ONNXExporter(model).export(str(folder / FILE), dynamic_batch=True)
    _give_scores(folder / FILE)
    return partial(open_export, source=source.absolute(), path=folder / FILE)


def open_class(bundle: Bundle, signature: str, threads: int, *, source: Path) -> Session:
    """Open the library's class, with the weights of its folder."""
    original = Original.read(source, bundle)
    rows, call = RowsOfLibrary(original, bundle), WithScores(original.model())
    return bundle.looked_up(signature, "index", lambda inner: LibrarySession(inner, rows, _tensors, call))


def open_export(bundle: Bundle, signature: str, threads: int, *, source: Path, path: Path) -> Session:
    """Open the library's export in ONNX Runtime."""
    rows = RowsOfLibrary(Original.read(source, bundle), bundle)

    def opened(inner: Signature) -> Session:
        runtime = OnnxSession(inner, path, threads).session
        names = [node.name for node in runtime.get_inputs()]
        return LibrarySession(
            inner, rows, lambda own: {name: own[name] for name in names}, lambda own: runtime.run(None, own)
        )

    return bundle.looked_up(signature, "index", opened)


def _tensors(rows: Rows) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in rows.items()}


def _give_scores(path: Path) -> None:
    """Make what enters the last sigmoid of an exported file its second output; nothing else of it changes.

    Raises:
        InputError: the file does not end in a sigmoid.
    """
    model = onnx.load(path, load_external_data=False)
    (output,) = model.graph.output
    last = [node for node in model.graph.node if output.name in node.output]
    if [node.op_type for node in last] != ["Sigmoid"]:
        raise InputError("the library's export does not end in a sigmoid")
    scores = onnx.ValueInfoProto(name=last[0].input[0], type=output.type)
    model.graph.output.append(scores)
    path.write_bytes(model.SerializeToString())
