"""What Triton's ONNX Runtime backend does with a model, for its Python backend: calls are merged, run and parted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # Triton puts it beside this file


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        self.batched = config["max_batch_size"] > 0
        self.inputs = [one["name"] for one in config["input"]]
        self.outputs = [one["name"] for one in config["output"]]
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        if self.batched:
            return self.answered(requests)
        return [response for request in requests for response in self.answered([request])]

    def answered(self, requests: list[Any]) -> list[Any]:
        """Run all in one. The server has reshaped them already, as it does for every backend."""
        parts = {name: [read(request, name) for request in requests] for name in self.inputs}
        found = self.session.run(self.outputs, {name: np.concatenate(arrays) for name, arrays in parts.items()})
        if not self.batched:
            return [response(self.outputs, found)]
        ends = np.cumsum([len(array) for array in parts[self.inputs[0]]])[:-1]
        by_request = zip(*(np.split(array, ends) for array in found), strict=True)
        return [response(self.outputs, arrays) for arrays in by_request]


def read(request: Any, name: str) -> Any:
    array = triton.get_input_tensor_by_name(request, name).as_numpy()
    return each(array, bytes.decode) if array.dtype == object else array


def response(names: list[str], arrays: Any) -> Any:
    given = (each(array, str.encode) if array.dtype == object else array for array in arrays)
    return triton.InferenceResponse([triton.Tensor(*pair) for pair in zip(names, given, strict=True)])


def each(texts: Any, change: Any) -> Any:
    return np.array([change(text) for text in texts.ravel()], dtype=object).reshape(texts.shape)
