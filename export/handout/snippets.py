"""Calls of a signature in Python, C++ and JavaScript, for the model card: whole programs, run in the bundle's folder.

The last output of every signature is float32; `top_k` has ids before it.
"""

from __future__ import annotations

import json
from typing import Any

from bst.data.vocabulary import Vocabularies
from export.contract.signatures import Signature, TensorSpec

Example = dict[str, list[Any]]


def example(signature: Signature, vocabularies: Vocabularies, k: int) -> Example:
    """Inputs of one user who had the first items of the vocabulary, flat, by name."""
    if signature.ids == "index":
        values: Example = {"items": [1, 2][: len(vocabularies.items)], "context": [1] * len(vocabularies.context)}
    else:
        values = {"history": vocabularies.items.ids[:2].to_list()}
        values |= {name: vocabulary.ids[:1].to_list() for name, vocabulary in vocabularies.context.items()}
    values |= {"candidates": values[signature.inputs[0].name], "k": [k]}
    return {spec.name: values[spec.name] for spec in signature.inputs}


def python_onnxruntime(signature: Signature, given: Example) -> str:
    """`onnxruntime` from PyPI."""
    feeds = [f'    "{spec.name}": np.array({_nested(spec, given)}, dtype={_numpy(spec)}),' for spec in signature.inputs]
    outputs = _unpacked(signature)
    return "\n".join(
        [
            "import numpy as np, onnxruntime",
            f'session = onnxruntime.InferenceSession("onnx/{signature.name}.onnx")',
            f"{outputs} = session.run(None, {{",
            *feeds,
            "})",
        ]
    )


def python_torchscript(signature: Signature, given: Example) -> str:
    """`torch.jit.load`."""
    lines = ["import torch", 'model = torch.jit.load("torchscript/model.pt")']
    call = f"model.{signature.name}({_torch_inputs(signature, given)})"
    return "\n".join([*lines, f"{', '.join(signature.output_names)} = {call}"])


def python_pt2(signature: Signature, given: Example) -> str:
    """The archive of `torch.export` programs."""
    lines = [
        "import torch",
        "from torch.export.pt2_archive._package import load_pt2  # torch's documented reader of such archives",
        f'model = load_pt2("pt2/model.pt2").exported_programs["{signature.name}"].module()',
    ]
    return "\n".join([*lines, f"{', '.join(signature.output_names)} = model({_torch_inputs(signature, given)})"])


def node(signature: Signature, given: Example) -> str:
    """`onnxruntime-node` from npm."""
    feeds = []
    for spec in signature.inputs:
        values = given[spec.name]
        if spec.dtype == "int64":
            data = f"BigInt64Array.from([{', '.join(f'{value}n' for value in values)}])"
        else:
            data = json.dumps(values, ensure_ascii=False)
        feeds.append(f"  {spec.name}: new ort.Tensor('{spec.dtype}', {data}, {_shape(spec, given)}),")
    outputs, numbers = ", ".join(signature.output_names), signature.output_names[-1]
    shown = [f"${{{name}.data[place]}}" for name in signature.output_names]
    return "\n".join(
        [
            "import * as ort from 'onnxruntime-node';",
            f"const session = await ort.InferenceSession.create('onnx/{signature.name}.onnx');",
            f"const {{ {outputs} }} = await session.run({{",
            *feeds,
            "});",
            f"for (let place = 0; place < {numbers}.data.length; place += 1) console.log(`{' '.join(shown)}`);",
        ]
    )


def cpp(signature: Signature, given: Example) -> str:
    """ONNX Runtime's C++ API."""
    lines = [
        "#include <onnxruntime_cxx_api.h>",
        "#include <cstdint>",
        "#include <iostream>",
        "#include <vector>",
        "",
        "int main() {",
        "  Ort::Env env;",
        f'  Ort::Session session(env, "onnx/{signature.name}.onnx", Ort::SessionOptions{{}});',
        "  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);",
        "  Ort::AllocatorWithDefaultOptions allocator;",
        "  std::vector<Ort::Value> inputs;",
    ]
    for place, spec in enumerate(signature.inputs):
        values = ", ".join(json.dumps(value, ensure_ascii=False) for value in given[spec.name])
        shape = ", ".join(map(str, _shape(spec, given)))
        data, shaped, text = f"data_{place}", f"shape_{place}", "ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING"
        lines.append(f"  const std::vector<int64_t> {shaped}{{{shape}}};  // {spec.name}")
        where = f"{shaped}.data(), {shaped}.size()"
        if spec.dtype == "int64":
            lines += [
                f"  std::vector<int64_t> {data}{{{values}}};",
                f"  inputs.push_back(Ort::Value::CreateTensor(memory, {data}.data(), {data}.size(), {where}));",
            ]
        else:
            lines += [
                f"  const std::vector<const char*> {data}{{{values}}};",
                f"  inputs.push_back(Ort::Value::CreateTensor(allocator, {where}, {text}));",
                f"  inputs.back().FillStringTensor({data}.data(), {data}.size());",
            ]
    reads = {
        "string": "GetStringTensorElement(place)",
        "int64": "GetTensorData<int64_t>()[place]",
        "float32": "GetTensorData<float>()[place]",
    }
    read = " << ' ' << ".join(f"found[{place}].{reads[spec.dtype]}" for place, spec in enumerate(signature.outputs))
    return "\n".join(
        [
            *lines,
            f"  const char* input_names[] = {{{', '.join(json.dumps(spec.name) for spec in signature.inputs)}}};",
            f"  const char* output_names[] = {{{', '.join(json.dumps(name) for name in signature.output_names)}}};",
            "  const auto found = session.Run(Ort::RunOptions{nullptr}, input_names, inputs.data(), inputs.size(),",
            f"                                 output_names, {len(signature.outputs)});",
            "  const auto count = found.back().GetTensorTypeAndShapeInfo().GetElementCount();",
            "  for (size_t place = 0; place < count; ++place)",
            f"    std::cout << {read} << '\\n';",
            "}",
        ]
    )


def _unpacked(signature: Signature) -> str:
    """The outputs as the left side of an assignment from a sequence."""
    return ", ".join(signature.output_names) + "," * (len(signature.outputs) == 1)


def _torch_inputs(signature: Signature, given: Example) -> str:
    return ", ".join(
        _nested(spec, given) if spec.dtype == "string" else f"torch.tensor({_nested(spec, given)})"
        for spec in signature.inputs
    )


def _nested(spec: TensorSpec, given: Example) -> str:
    values = given[spec.name]
    return repr([values] if len(spec.shape) == 2 else values)


def _shape(spec: TensorSpec, given: Example) -> list[int]:
    size = len(given[spec.name])
    return [1, size] if len(spec.shape) == 2 else [size]


def _numpy(spec: TensorSpec) -> str:
    return "np.int64" if spec.dtype == "int64" else "object"
