"""Sessions, which execute a bundle: one signature as a function from named arrays to named arrays, in each backend."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from bst.config import BSTConfig
from bst.data.vocabulary import Vocabularies
from bst.errors import CheckError, InputError, reason
from bst.run.folder import read_weights
from bst.training.world import require_device
from export.contract.inputs import Array, Arrays, checked_inputs
from export.contract.manifest import MANIFEST_FILE, WHAT, Manifest
from export.contract.settings import ORT_DEFAULTS, SessionOptions
from export.contract.signatures import USER_VECTOR, Signature, TensorSpec
from export.serving.scorer import ServedModel, make_scorer
from export.sessions.lookup import Lookup

# NumPy's names; the reference of the comparison is in float64.
DTYPES = {"int64": ("i8",), "float32": ("f4", "f8"), "string": ("O",)}
OPTIMIZATION = {
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


class Session(ABC):
    """One signature, loaded. Calling it checks the inputs, runs, and names the outputs.

    The three steps are separate so that a measurement can time `run` by itself: `prepare` converts arrays for the
    runtime, `finish` converts its answer into arrays. `run` is called inside `mode`, entered once a thread.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def __call__(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the signature. Inputs are int64 arrays, or arrays of text, of the shapes that the signature states.

        Raises:
            InputError: an input is missing, unknown, or of another dtype or shape.
            CheckError: the runtime refuses the call, or its outputs are not those of the signature.
        """
        return self.answer(checked_inputs(self.signature, inputs))

    def answer(self, inputs: Mapping[str, Array]) -> Arrays:
        """Run the signature on inputs that are of its dtypes and shapes: they are not looked at.

        Raises:
            CheckError: as a call.
        """
        prepared = self.prepare(inputs)
        try:
            with self.mode():
                outputs = self.run(prepared)
            return self.finish(outputs)
        except Exception as error:  # the exceptions of the runtimes have no other common base
            raise CheckError(f"{self.signature.name} fails in its runtime: {reason(error)}") from error

    def mode(self) -> AbstractContextManager[Any]:
        """Return the context that the thread which runs must be in."""
        return nullcontext()

    @abstractmethod
    def prepare(self, inputs: Mapping[str, Array]) -> Any: ...

    @abstractmethod
    def run(self, prepared: Any) -> Any: ...

    @abstractmethod
    def finish(self, outputs: Any) -> Arrays: ...

    def named(self, outputs: Sequence[Array]) -> Arrays:
        """Name the outputs.

        Raises:
            ValueError: they are more or fewer than in the signature, or of another dtype or shape.
        """
        specs = self.signature.outputs
        if len(outputs) != len(specs) or not all(map(_fits, specs, outputs)):
            expected = ", ".join(f"{spec.name} {spec.dtype} {list(spec.shape)}" for spec in specs)
            actual = ", ".join(f"{array.dtype} {list(array.shape)}" for array in outputs) or "nothing"
            raise ValueError(f"it gives {actual}, not {expected}; export again")
        return dict(zip(self.signature.output_names, outputs, strict=True))


def _fits(spec: TensorSpec, array: Array) -> bool:
    sizes = zip(spec.shape, array.shape, strict=False)
    return (
        array.dtype.str[1:] in DTYPES[spec.dtype]
        and array.ndim == len(spec.shape)
        and all(size == axis for axis, size in sizes if isinstance(axis, int))
    )


class TorchSession(Session):
    """A Python or scripted method: tensors and lists of text in, the same out."""

    def __init__(self, signature: Signature, method: Any, device: str = "cpu") -> None:
        super().__init__(signature)
        self.method, self.device = method, device

    def prepare(self, inputs: Mapping[str, Array]) -> list[Any]:
        return [
            inputs[spec.name].tolist()
            if spec.dtype == "string"
            else torch.from_numpy(np.require(inputs[spec.name], requirements=("C", "W"))).to(self.device)
            for spec in self.signature.inputs
        ]

    def mode(self) -> AbstractContextManager[Any]:
        return torch.inference_mode()

    def run(self, prepared: list[Any]) -> Any:
        outputs = self.method(*prepared)
        self.wait()
        return outputs

    def wait(self) -> None:
        """Wait until the device is done."""
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)

    def finish(self, outputs: Any) -> Arrays:
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        return self.named([_array(part) for part in parts])


def _array(part: Any) -> Array:
    if not isinstance(part, torch.Tensor):
        return np.array(part, dtype=object)
    return (part.float() if part.dtype == torch.bfloat16 else part).cpu().numpy()


class OnnxSession(Session):
    """A graph in ONNX Runtime. `threads`, if given, override those in `options`; `optimization` is the level of
    graph optimization, see `OPTIMIZATION`.
    """

    def __init__(
        self,
        signature: Signature,
        path: Path,
        threads: int | None = None,
        *,
        options: SessionOptions = ORT_DEFAULTS,
        optimization: str = "all",
        provider: str = "CPUExecutionProvider",
    ) -> None:
        super().__init__(signature)
        if threads is not None and threads < 1:
            raise InputError(f"threads={threads} is not a number from 1 up; give none for as many as there are cores")
        try:
            session_options = _session_options(options, threads, optimization)
            # Without its fallback, which prints to stdout and then tries the same again.
            self.session = onnxruntime.InferenceSession(
                str(path), session_options, providers=[provider], enable_fallback=False
            )
        except Exception as error:  # onnxruntime's exceptions have no other common base
            raise InputError(f"{path} does not load in ONNX Runtime ({reason(error)}); export again") from None

    def prepare(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {spec.name: np.ascontiguousarray(inputs[spec.name]) for spec in self.signature.inputs}

    def run(self, prepared: dict[str, Array]) -> Any:
        return self.session.run(None, prepared)

    def finish(self, outputs: Any) -> Arrays:
        return self.named([np.asarray(array) for array in outputs])


def _session_options(options: SessionOptions, threads: int | None, optimization: str) -> onnxruntime.SessionOptions:
    result = onnxruntime.SessionOptions()
    result.log_severity_level = 3  # errors; they are raised as well
    result.graph_optimization_level = OPTIMIZATION[optimization]
    if count := threads or options.threads:
        result.intra_op_num_threads = count
        result.inter_op_num_threads = 1
    result.enable_cpu_mem_arena = options.arena
    if not options.spinning:
        result.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not options.prepacking:
        result.add_session_config_entry("session.disable_prepacking", "1")
    return result


class LookedUp(Session):
    """A session at index level behind a signature of raw ids, for formats that cannot hold text."""

    def __init__(self, signature: Signature, inner: Session, vocabularies: Vocabularies, config: BSTConfig) -> None:
        super().__init__(signature)
        self.inner, self.config = inner, config
        self.items = Lookup(vocabularies.items, config.unknown_row)
        self.groups = (*config.inputs, *config.candidate_inputs)
        of_inputs = [vocabularies.of(group).items() for group in self.groups]
        self.lookups = {name: Lookup(vocabulary) for pairs in of_inputs for name, vocabulary in pairs}

    def prepare(self, inputs: Mapping[str, Array]) -> Any:
        indices = {name: inputs[name] for name in ("k", USER_VECTOR) if name in inputs}
        for raw, name in (("history", "items"), ("candidates", "candidates")):
            if raw in inputs:
                indices[name] = self.items.indices(inputs[raw])
        for group in self.groups:
            names = group.names(self.config)
            if not inputs.keys() >= set(names):
                continue
            columns = [inputs[name] for name in names]
            if group.holds == "items":
                columns = [self.items.indices(inputs[group.name])]
            elif group.holds == "categories":
                columns = [self.lookups[name].indices(inputs[name]) for name in names]
            indices[group.name] = np.stack(columns, axis=-1) if group.stacked else columns[0]
        return self.inner.prepare(indices)

    def mode(self) -> AbstractContextManager[Any]:
        return self.inner.mode()

    def run(self, prepared: Any) -> Any:
        return self.inner.run(prepared)

    def finish(self, outputs: Any) -> Arrays:
        arrays = self.inner.finish(outputs)
        if "item_indices" in arrays:
            ids = {"item_ids": self.items.raw(arrays.pop("item_indices"))}
            arrays = {**ids, **arrays}
        return arrays


@contextmanager
def one_at_a_time() -> Iterator[Callable[[], object]]:
    """Yield a function that frees unused sessions, which are full of cycles and would stay in memory beside the next
    one.

    Objects from before the block are not scanned again each time: libraries hold a million of them.
    """
    gc.collect()
    if gc.get_freeze_count():  # by the calling program, or by a block around this one
        yield gc.collect
        return
    gc.freeze()
    try:
        yield gc.collect
    finally:
        gc.unfreeze()


def eager_session(served: ServedModel, signature: Signature, device: str = "cpu") -> Session:
    """Run the Python model itself.

    Raises:
        InputError: torch cannot use the device here.
    """
    require_device(device)
    return TorchSession(signature, served.eval().to(device).method(signature), device)


def rebuild_eager(bundle: Path, manifest: Manifest, vocabularies: Vocabularies) -> ServedModel:
    """Build the Python model of a bundle again, from its config and its plain weights.

    Raises:
        InputError: the weights are missing, damaged, or not those of the model that the manifest describes.
    """
    model = read_weights(
        bundle / manifest.weights, manifest.model, what=WHAT, stated_in=MANIFEST_FILE, again="export again"
    )
    manifest.model.require_memory(1)
    scorer = make_scorer(model, manifest.model, manifest.settings.top_k)
    return ServedModel(scorer, vocabularies if manifest.ids == "raw" else None, manifest.model).eval()
