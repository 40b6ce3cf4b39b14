"""`config.pbtxt`: how Triton is told what a signature takes and gives, and how to batch and to warm it up."""

from __future__ import annotations

from dataclasses import dataclass

from export.contract.manifest import Manifest
from export.contract.settings import SessionOptions
from export.contract.signatures import Signature, TensorSpec
from export.proof.golden import BATCH_SIZES, Array, GoldenCase

TYPES = {"int64": "TYPE_INT64", "string": "TYPE_STRING", "float32": "TYPE_FP32"}
MAX_BATCH_SIZE = BATCH_SIZES[-1]  # no larger batch was compared with the model
WARM_UP = ("full", "empty")
WARM_BATCH = 8  # more than the rows for which `top_k` has a way of its own


@dataclass(frozen=True)
class Sample:
    """A golden call that warms a model up.

    Of a batched model `inputs` are one row as Triton wants it: without the batch axis, one number a feature as `[1]`.
    The call is then made of `batch_size` such rows, merged as dynamic batching does. Otherwise they are the whole call.
    """

    case: str
    batch_size: int
    inputs: dict[str, Array]


def is_batched(signature: Signature) -> bool:
    """Whether each input has a row a user, so that Triton can merge calls. An input `k` has not."""
    return all(spec.shape[0] == "batch" for spec in signature.inputs)


def samples_of(signature: Signature, golden: list[GoldenCase]) -> list[Sample]:
    """Choose the golden calls to warm up with: a full history, an empty one, and several rows at once."""
    found = {one.name: one.inputs for one in golden}
    if not is_batched(signature):
        return [Sample(case, 1, found[case]) for case in (*WARM_UP, "edges_in_one_batch") if case in found]
    rows = {case: found[case] for case in WARM_UP if case in found}  # of a large catalogue, only the first is stored
    rows = {case: {name: _one_row(array) for name, array in row.items()} for case, row in rows.items()}
    return [*(Sample(case, 1, row) for case, row in rows.items()), Sample(WARM_UP[0], WARM_BATCH, rows[WARM_UP[0]])]


def _one_row(batch: Array) -> Array:
    return batch[:1].reshape(batch.shape[1:] or (1,))


def config_of(manifest: Manifest, signature: Signature, samples: list[Sample]) -> str:
    """Write the text of `config.pbtxt`; the inputs of a sample are in `warmup/<case>.<input>`."""
    batched = is_batched(signature)
    tensors = [("input", spec) for spec in signature.inputs] + [("output", spec) for spec in signature.outputs]
    parts = [
        f"# The signature `{signature.name}` of a bundle that `bst export` wrote, for Triton's ONNX Runtime backend.",
        "# Behind the name of each tensor stands its whole shape; an axis in words takes any size from 1 up.",
        f'name: "{signature.name}"',
        'backend: "onnxruntime"',
        f"max_batch_size: {MAX_BATCH_SIZE if batched else 0}",
        "version_policy { latest { num_versions: 1 } }",
        "instance_group { kind: KIND_CPU count: 1 }",
        "",
        *_batching(manifest, signature),
        *_session(manifest.tuning.options if manifest.tuning else None),
        "",
        *(_tensor(kind, spec, batched=batched) for kind, spec in tensors),
        "",
        "# Golden calls, which Triton runs before it says that the model is ready.",
        *(_warm_up(signature, sample) for sample in samples),
    ]
    return "\n".join(parts) + "\n"


def _batching(manifest: Manifest, signature: Signature) -> list[str]:
    if not is_batched(signature):
        return [
            "# No batching by the server: it merges calls along the first axis of every input, and `k` is one number",
            "# for the whole call. The batch is an axis like others here; send many users in one call.",
        ]
    sizes = "histories are equally long"
    if signature.takes("candidates"):
        sizes += " and have equally many candidates"
    advice = "Pad histories in front to a few fixed lengths, which changes no score, and more calls are merged."
    if manifest.model.padding == "counted":
        advice = "Do not pad histories for that: padding changes the scores of this model."
    return [
        f"# Calls that wait while the model is busy are merged if their {sizes}.",
        f"# {advice}",
        "# With a delay above 0, a call waits for others also while the model is idle.",
        "dynamic_batching { max_queue_delay_microseconds: 0 }",
    ]


def _session(options: SessionOptions | None) -> list[str]:
    """What `bst export --tune` advises, so far as the backend has a parameter for it."""
    if options is None:
        return []
    found = ["", "# Advised by the manifest's `tuning`."]
    if options.threads is not None:
        found.append(_parameter("intra_op_thread_count", str(options.threads)))
    found.append(_parameter("enable_mem_arena", str(int(options.arena))))
    unsaid = [name for name in ("spinning", "prepacking") if not getattr(options, name)]
    if unsaid:
        found.append(f"# It also advises no {' and no '.join(unsaid)}, for which the backend has no parameter.")
    return found


def _parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def _tensor(kind: str, spec: TensorSpec, *, batched: bool) -> str:
    dims = [-1 if isinstance(axis, str) else axis for axis in spec.shape[batched:]]
    lines = [
        f"{kind} {{",
        f'  name: "{spec.name}"  # [{", ".join(map(str, spec.shape))}]',
        f"  data_type: {TYPES[spec.dtype]}",
        f"  dims: {dims or [1]}",
        # Triton takes no tensor without dims.
        *([] if dims else ["  reshape { shape: [] }  # callers send [batch, 1]"]),
        "}",
    ]
    return "\n".join(lines)


def _warm_up(signature: Signature, sample: Sample) -> str:
    times = f"_times_{sample.batch_size}" if sample.batch_size > 1 else ""
    lines = ["model_warmup {", f'  name: "{sample.case}{times}"', f"  batch_size: {sample.batch_size}"]
    for spec in signature.inputs:
        dims, file = list(sample.inputs[spec.name].shape), f"{sample.case}.{spec.name}"
        value = f'data_type: {TYPES[spec.dtype]} dims: {dims} input_data_file: "{file}"'
        lines.append(f'  inputs {{ key: "{spec.name}" value {{ {value} }} }}')
    return "\n".join([*lines, "}"])
