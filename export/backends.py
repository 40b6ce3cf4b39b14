"""What executes a bundle: one signature as a function from named arrays to named arrays, in each backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from bst.errors import InputError
from bst.model import BST
from bst.vocabulary import Vocabularies
from export.manifest import Format, Manifest
from export.scorer import Scorer, ServedModel
from export.signatures import Signature, TensorSpec
from export.torchscript import load_torchscript

Array = NDArray[Any]
Arrays = dict[str, Array]


class Session(ABC):
    """One signature, loaded. Calling it checks the inputs, runs, and names the outputs.

    The three steps stand alone so that a measurement can time `run` by itself: `prepare` brings arrays into the form
    that the runtime takes, `finish` brings its answer into arrays.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def __call__(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the signature. Inputs are int64 arrays, or arrays of text, of the shapes that the signature states.

        Raises:
            InputError: an input is missing, unknown, or of another dtype or shape.
        """
        return self.finish(self.run(self.prepare(checked_inputs(self.signature, inputs))))

    @abstractmethod
    def prepare(self, inputs: Mapping[str, Array]) -> Any: ...

    @abstractmethod
    def run(self, prepared: Any) -> Any: ...

    @abstractmethod
    def finish(self, outputs: Any) -> Arrays: ...


class TorchSession(Session):
    """A Python or scripted method: tensors and lists of text in, the same out."""

    def __init__(self, signature: Signature, method: Any, device: str = "cpu") -> None:
        super().__init__(signature)
        self.method, self.device = method, device

    def prepare(self, inputs: Mapping[str, Array]) -> list[Any]:
        return [
            inputs[spec.name].tolist()
            if spec.dtype == "string"
            else torch.from_numpy(np.ascontiguousarray(inputs[spec.name])).to(self.device)
            for spec in self.signature.inputs
        ]

    def run(self, prepared: list[Any]) -> Any:
        with torch.inference_mode():
            outputs = self.method(*prepared)
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)
        return outputs

    def finish(self, outputs: Any) -> Arrays:
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        arrays = (
            part.cpu().numpy() if isinstance(part, torch.Tensor) else np.array(part, dtype=object) for part in parts
        )
        return dict(zip(self.signature.output_names, arrays, strict=True))


class OnnxSession(Session):
    """A graph in ONNX Runtime."""

    def __init__(self, signature: Signature, path: Path, threads: int | None = None) -> None:
        super().__init__(signature)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; they are raised as well
        if threads is not None:
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions have no common base but this
            raise InputError(
                f"{path} does not load in ONNX Runtime ({str(error).splitlines()[0]}); export again"
            ) from None

    def prepare(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {spec.name: np.ascontiguousarray(inputs[spec.name]) for spec in self.signature.inputs}

    def run(self, prepared: dict[str, Array]) -> Any:
        return self.session.run(None, prepared)

    def finish(self, outputs: Any) -> Arrays:
        return dict(zip(self.signature.output_names, outputs, strict=True))


def eager_session(served: ServedModel, signature: Signature, device: str = "cpu") -> Session:
    """Run the Python model itself."""
    return TorchSession(signature, served.eval().to(device).method(signature), device)


def open_format(
    bundle: Path, manifest: Manifest, form: Format, signature: Signature, *, threads: int | None = None
) -> Session:
    """Load one signature of a bundle from the files of one format.

    Raises:
        InputError: the bundle does not hold the format, or a file does not load.
    """
    if form not in manifest.formats:
        raise InputError(f"format {form!r} is not in {bundle}; it holds {', '.join(manifest.formats)}")
    if form == "onnx":
        return OnnxSession(signature, bundle / "onnx" / f"{signature.name}.onnx", threads)
    module = load_torchscript(bundle / "torchscript" / "model.pt", freeze=(signature.name,))
    return TorchSession(signature, getattr(module, signature.name))


def rebuild_eager(bundle: Path, manifest: Manifest, vocabularies: Vocabularies) -> ServedModel:
    """Build the Python model of a bundle again, from its config and the weights in the TorchScript archive.

    Raises:
        InputError: the bundle holds no TorchScript.
    """
    if "torchscript" not in manifest.formats:
        raise InputError(f"{bundle} holds no torchscript, where eager reads its weights; export with that format too")
    scripted: nn.Module = load_torchscript(bundle / "torchscript" / "model.pt")
    model = BST(manifest.model)
    prefix = "scorer.model."
    state = scripted.state_dict()
    model.load_state_dict({name: state[prefix + name] for name in model.state_dict()})
    raw = manifest.ids == "raw"
    return serve(model, manifest.model, vocabularies if raw else None, k_of(manifest.signatures))


def serve(model: BST, config: Any, vocabularies: Vocabularies | None, k: int) -> ServedModel:
    """Put a model behind its signatures; `vocabularies=None` for index level."""
    categories = [feature.num_categories for feature in config.context]
    scorer = Scorer(model.eval(), max_length=config.max_length, num_categories=categories, k=k)
    return ServedModel(scorer, vocabularies).eval()


def k_of(signatures: tuple[Signature, ...]) -> int:
    """Read how many items `top_k` gives."""
    return next(int(spec.shape[1]) for one in signatures if one.name == "top_k" for spec in one.outputs)


def checked_inputs(signature: Signature, inputs: Mapping[str, Array]) -> Arrays:
    """Bring inputs to the stated dtypes where that loses nothing, and refuse everything else.

    Raises:
        InputError: an input is missing, unknown, empty, or of another kind or shape; all offenders are named.
    """
    names = [spec.name for spec in signature.inputs]
    offences = [f"{name} is missing" for name in names if name not in inputs]
    offences += [f"{name} is not an input" for name in inputs if name not in names]
    arrays: Arrays = {}
    sizes: dict[str, int] = {}
    for spec in signature.inputs:
        if spec.name in inputs:
            array = np.asarray(inputs[spec.name])
            found = _offences(spec, array, sizes)
            offences += found
            if not found:
                arrays[spec.name] = array.astype(np.int64 if spec.dtype == "int64" else object)
    if offences:
        stated = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in signature.inputs)
        raise InputError(f"{signature.name}: {'; '.join(offences)}; it takes {stated}")
    return arrays


def _offences(spec: TensorSpec, array: Array, sizes: dict[str, int]) -> list[str]:
    integers = np.issubdtype(array.dtype, np.integer)
    texts = array.dtype.kind in "UO" and all(isinstance(value, str) for value in array.flat)
    if not (integers if spec.dtype == "int64" else texts):
        return [f"{spec.name} holds {array.dtype}, not {spec.dtype}"]
    if spec.dtype == "int64" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        return [f"{spec.name} holds {array.max()}, beyond int64"]
    if array.ndim != len(spec.shape) or (array.size == 0 and 0 not in spec.shape):
        return [f"{spec.name} has shape {list(array.shape)}"]
    for axis, size in zip(spec.shape, array.shape, strict=True):
        expected = sizes.setdefault(axis, size) if isinstance(axis, str) else axis
        if size != expected:
            return [f"{spec.name} has shape {list(array.shape)}, where {axis} is {expected}"]
    return []
