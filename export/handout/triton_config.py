"""`config.pbtxt`: a signature's inputs and outputs for Triton, with batching and warm-up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bst.system.templates import render
from export.contract.inputs import Array
from export.contract.manifest import Manifest
from export.contract.signatures import Signature, TensorSpec
from export.proof.golden import BATCH_SIZES, GoldenCall

TYPES = {"int64": "TYPE_INT64", "string": "TYPE_STRING", "float32": "TYPE_FP32"}
MAX_BATCH_SIZE = BATCH_SIZES[-1]  # no larger batch was compared with the model
CONFIG = Path(__file__).parent / "templates" / "config.pbtxt.jinja"
WARM_UP = ("full", "empty")
WARM_BATCH = 8  # more rows than those for which `top_k` has a branch of its own


@dataclass(frozen=True)
class Sample:
    """A golden call that warms a model up.

    For a batched model, `inputs` are one row in Triton's form: without the batch axis, one number a feature as `[1]`;
    the call is made of `batch_size` such rows, merged as dynamic batching does. Otherwise they are the whole call.
    """

    case: str
    batch_size: int
    inputs: dict[str, Array]


def is_batched(signature: Signature) -> bool:
    """Return whether each input has a row a user, so that Triton can merge calls. An input `k` has not."""
    return all(spec.shape[0] == "batch" for spec in signature.inputs)


def samples_of(signature: Signature, golden: list[GoldenCall]) -> list[Sample]:
    """Choose the golden calls to warm up with: a full history, an empty one, and several rows at once."""
    if not golden:
        return []
    inputs = {call.name: call.inputs for call in golden}
    if not is_batched(signature):
        return [Sample(case, 1, inputs[case]) for case in (*WARM_UP, "edges_in_one_batch") if case in inputs]
    rows = {case: inputs[case] for case in WARM_UP if case in inputs}  # of a large catalogue, only the first is stored
    rows = {case: {name: _one_row(array) for name, array in row.items()} for case, row in rows.items()}
    return [*(Sample(case, 1, row) for case, row in rows.items()), Sample(WARM_UP[0], WARM_BATCH, rows[WARM_UP[0]])]


def _one_row(batch: Array) -> Array:
    return batch[:1].reshape(batch.shape[1:] or (1,))


def config_of(manifest: Manifest, signature: Signature, samples: list[Sample]) -> str:
    """Write the text of `config.pbtxt`; the inputs of a sample are in `warmup/<case>.<input>`."""
    batched = is_batched(signature)
    tensors = [("input", spec) for spec in signature.inputs] + [("output", spec) for spec in signature.outputs]
    options = manifest.tuning.options if manifest.tuning else None
    return render(
        CONFIG,
        signature=signature,
        max_batch_size=MAX_BATCH_SIZE if batched else 0,
        padding_counts=manifest.model.padding == "counted",
        options=options,
        # Advised options without a parameter of the backend.
        unsaid=[name for name in ("spinning", "prepacking") if options and not getattr(options, name)],
        types=TYPES,
        tensors=[(kind, spec, _dims(spec, batched=batched)) for kind, spec in tensors],
        samples=samples,
    )


def _dims(spec: TensorSpec, *, batched: bool) -> list[int]:
    """Write the axes as Triton does; none where a batched tensor has no other axis."""
    return [-1 if isinstance(axis, str) else axis for axis in spec.shape[batched:]]
