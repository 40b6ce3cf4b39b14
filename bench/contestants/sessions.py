"""The opening of a signature of a bundle, in each backend. Those of the bundle's own formats are `Bundle.session`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bst.system.files import temporary_folder
from export import Bundle, Session
from export.contract.inputs import Array
from export.contract.model_signatures import can_hold_raw_ids
from export.contract.signatures import Ids, Signature
from export.formats.aotinductor_packages import load_aotinductor, save_aotinductor
from export.formats.torchscript_archive import load_torchscript
from export.serving.scorer import ServedModel, make_scorer
from export.sessions.session import OnnxSession, TorchSession, rebuild_eager


def open_format(bundle: Bundle, signature: str, threads: int, *, kind: str) -> Session:
    """Open a file of the bundle by the bundle's own session."""
    return bundle.session(kind, signature, threads=threads)


def open_eager(
    bundle: Bundle, signature: str, threads: int, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Session:
    """Open the Python model; in bfloat16, its weights are bfloat16 too."""
    served = rebuild_eager(bundle.path, bundle.manifest, bundle.vocabularies).to(device, dtype)
    spec = bundle.signature_at(signature, bundle.manifest.ids)
    return TorchSession(spec, served.method(spec), device)


def open_compiled(
    bundle: Bundle, signature: str, threads: int, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Session:
    """Open the model by `torch.compile` for dynamic sizes. Text ids are looked up outside."""

    def opened(spec: Signature) -> Session:
        served = rebuild_eager(bundle.path, bundle.manifest, bundle.vocabularies).to(device, dtype)
        return TorchSession(spec, torch.compile(served.method(spec), dynamic=True), device)

    return bundle.looked_up(signature, ids_of_tensors(bundle), opened)


def open_torchscript(
    bundle: Bundle, signature: str, threads: int, *, frozen: bool = True, optimize: bool = False, device: str = "cpu"
) -> Session:
    """Open the scripted model: as it is, frozen, or optimized for inference."""
    record = bundle.manifest.format("torchscript")

    def opened(spec: Signature) -> Session:
        path = bundle.path / record.entries[signature].path
        methods = (signature,) if frozen else ()
        module = load_torchscript(path, freeze=methods, optimize=optimize, device=device)
        return TorchSession(spec, getattr(module, signature), device)

    return bundle.looked_up(signature, record.ids, opened)


def open_onnxruntime(
    bundle: Bundle,
    signature: str,
    threads: int,
    *,
    optimization: str = "all",
    provider: str = "CPUExecutionProvider",
) -> Session:
    """Open ONNX Runtime with a level of graph optimisation and a provider."""
    record = bundle.manifest.format("onnx")
    path = bundle.path / record.entries[signature].path
    return bundle.looked_up(
        signature,
        record.ids,
        lambda spec: OnnxSession(
            spec,
            path,
            threads,
            options=bundle.manifest.session_options,
            optimization=optimization,
            provider=provider,
        ),
    )


# By default OpenVINO computes in less than float32 where it can.
OPENVINO_IN_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}


def open_openvino(bundle: Bundle, signature: str, threads: int) -> Session:
    """Open the bundle's ONNX in OpenVINO, set to float32."""
    record = bundle.manifest.format("onnx")
    path = bundle.path / record.entries[signature].path
    return bundle.looked_up(
        signature,
        record.ids,
        lambda spec: OpenVinoSession(spec, path, threads, OPENVINO_IN_FLOAT32),
    )


def open_cuda_graph(bundle: Bundle, signature: str, threads: int, *, dtype: torch.dtype) -> Session:
    """Open the Python model, replayed as a CUDA graph for each shape."""

    def opened(spec: Signature) -> Session:
        served = rebuild_eager(bundle.path, bundle.manifest, bundle.vocabularies).to("cuda", dtype)
        return CudaGraphSession(spec, served.method(spec), "cuda")

    return bundle.looked_up(signature, ids_of_tensors(bundle), opened)


def open_aotinductor_cuda(bundle: Bundle, signature: str, threads: int, *, dtype: torch.dtype) -> Session:
    """Compile a package for the GPU of this machine and open it: those of a bundle are for CPUs."""

    def opened(spec: Signature) -> Session:
        model = rebuild_eager(bundle.path, bundle.manifest, bundle.vocabularies).scorer.model.to("cuda", dtype)
        scorer = make_scorer(model, bundle.manifest.model, bundle.manifest.settings.top_k, one_length=True)
        served = ServedModel(scorer.to("cuda"), None, bundle.manifest.model)
        with temporary_folder() as folder:
            save_aotinductor(served, (spec,), folder, cpu="native", metadata={})
            return TorchSession(spec, load_aotinductor(folder / f"{spec.name}.pt2"), "cuda")

    return bundle.looked_up(signature, "index", opened)


def ids_of_tensors(bundle: Bundle) -> Ids:
    """Return the level at which ids can go through tensors alone."""
    return bundle.manifest.ids if can_hold_raw_ids(bundle.vocabularies) else "index"


class OpenVinoSession(Session):
    """A model in OpenVINO, on one stream of the CPU."""

    def __init__(self, signature: Signature, path: Path, threads: int, settings: Mapping[str, Any]) -> None:
        super().__init__(signature)
        import openvino

        whole = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, **settings}
        self.request = openvino.Core().compile_model(str(path), "CPU", whole).create_infer_request()

    def prepare(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {spec.name: np.ascontiguousarray(inputs[spec.name]) for spec in self.signature.inputs}

    def run(self, prepared: dict[str, Array]) -> Any:
        return self.request.infer(prepared, share_inputs=True)

    def finish(self, outputs: Any) -> dict[str, Array]:
        return {name: np.array(outputs[place]) for place, name in enumerate(self.signature.output_names)}


class CudaGraphSession(TorchSession):
    """A session that records the kernels of a call once for each combination of shapes, and replays them on inputs
    copied in.
    """

    def __init__(self, signature: Signature, method: Any, device: str) -> None:
        super().__init__(signature, method, device)
        self.recorded: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, list[Any], Any]] = {}

    def run(self, prepared: list[Any]) -> Any:
        shapes = tuple(tensor.shape for tensor in prepared)
        if shapes not in self.recorded:
            self.recorded[shapes] = self._record(prepared)
        graph, inputs, outputs = self.recorded[shapes]
        for own, new in zip(inputs, prepared, strict=True):
            own.copy_(new)
        graph.replay()
        self.wait()
        return outputs

    def _record(self, prepared: list[Any]) -> tuple[torch.cuda.CUDAGraph, list[Any], Any]:
        inputs = [tensor.clone() for tensor in prepared]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # a first call may allocate and choose kernels, which a graph must not record
            for _ in range(3):
                self.method(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = self.method(*inputs)
        return graph, inputs, outputs
