"""TorchScript: the only place that touches `torch.jit`, which warns that it is deprecated (torch 2.13 and later)."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bst.config import BSTConfig, InputGroup
from export import guards
from export.contract.signatures import USER_VECTOR, Signature, TensorSpec
from export.serving.guards import Guards
from export.serving.ids import IntegerIds, TextIds
from export.serving.scorer import ServedModel


def save_torchscript(
    model: ServedModel, signatures: tuple[Signature, ...], path: Path, *, metadata: Mapping[str, str]
) -> None:
    """Script `model` with one method a signature and write it to `path`; `metadata` go into the archive's `extra/`.

    `forward` is the first signature, for servers that call nothing else. The model must be in evaluation mode.
    """
    with _no_deprecation():
        kinds = {kind for kind in type(model.scorer).__mro__ if issubclass(kind, Guards)}
        for kind in kinds | {IntegerIds, TextIds}:
            for name, function in vars(kind).items():
                if not name.startswith("_") and name != "forward":
                    torch.jit.export(function)  # mark it for compilation; changes nothing else

        class Served(torch.nn.Module):
            """A class of its own for each archive: TorchScript shares compiled methods between modules of one class."""

        archive = Served()
        for name, child in model.named_children():
            archive.add_module(name, child)
        scripted = torch.jit.script(archive.eval())
        for signature in signatures:
            scripted.define(method_source(signature, model.config))
        scripted.define(forward_source(signatures[0], model.config))
        torch.jit.save(scripted, str(path), _extra_files=dict(metadata))


def method_source(signature: Signature, config: BSTConfig) -> str:
    """Write `ServedModel.answer` as a method, in the part of Python that TorchScript compiles."""
    kind, first = signature.kind, signature.inputs[0]
    arguments = [f"{spec.name}: {_type_of(spec)}" for spec in signature.inputs]
    results = [_type_of(spec) for spec in signature.outputs]
    call_arguments = [USER_VECTOR if kind.takes_user_vector else "bst_vectors"]
    if kind.takes_candidates:
        call_arguments.append(_candidates(signature, config))
    if kind.picks:
        call_arguments.append("bst_seen")
    lines = []
    if not kind.takes_user_vector:
        lines.append(f"bst_seen = {_items(signature, first.name, first.dtype)}")
        lines.append(f"bst_vectors = self.scorer.vectors({_by_index(signature, config)})")
    call = f"self.scorer.{kind.name}({', '.join(call_arguments)})"
    if kind.picks:
        lines.append(f"bst_found, bst_scores = {call}")
        if signature.takes("k"):
            lines += [f"{name} = self.scorer.first({name}, k)" for name in ("bst_found", "bst_scores")]
        lines.append(f"return {'self.item_ids.raw(bst_found)' if signature.ids == 'raw' else 'bst_found'}, bst_scores")
    else:
        lines.append(f"return {call}")
    result = f"Tuple[{', '.join(results)}]" if len(results) > 1 else results[0]
    body = textwrap.indent("\n".join(lines), "    ")
    return f"def {signature.name}(self, {', '.join(arguments)}) -> {result}:\n{body}\n"


def forward_source(signature: Signature, config: BSTConfig) -> str:
    """Write a method `forward` that calls a signature."""
    head, _, _ = method_source(signature, config).partition("\n")
    names = ", ".join(spec.name for spec in signature.inputs)
    return f"{head.replace(signature.name, 'forward', 1)}\n    return self.{signature.name}({names})\n"


def _type_of(spec: TensorSpec) -> str:
    if spec.dtype != "string":
        return "Tensor"
    return "List[str]" if len(spec.shape) == 1 else "List[List[str]]"


def _items(signature: Signature, name: str, dtype: str) -> str:
    if signature.ids == "index":
        return f"self.scorer.guard_items({name})"
    return f"self.item_ids.rows({name})" if dtype == "string" else f"self.item_ids({name})"


def _candidates(signature: Signature, config: BSTConfig) -> str:
    """Write the argument `candidates` of `Scorer.score_candidates`: items, and the features of each behind its item."""
    items = _items(signature, "candidates", signature.inputs[0].dtype)
    features = [_tensor(group, signature, config) for group in config.candidate_inputs]
    return f"torch.cat([{', '.join([f'{items}.unsqueeze(-1)', *features])}], dim=-1)" if features else items


def _by_index(signature: Signature, config: BSTConfig) -> str:
    """Write the argument of `Scorer.vectors`."""
    tensors = {"items": "bst_seen", "context": "bst_seen.new_zeros([bst_seen.size(0), 0])"}
    tensors |= {group.name: _tensor(group, signature, config) for group in config.inputs}
    return f"{{{', '.join(f'{name!r}: {tensor}' for name, tensor in tensors.items())}}}"


def _tensor(group: InputGroup, signature: Signature, config: BSTConfig) -> str:
    if group.holds == "items":
        return _items(signature, group.name, signature.inputs[0].dtype)
    if signature.ids == "index" or not group.stacked:
        return group.name if group.holds != "categories" else f"self.scorer.guard_{group.name}({group.name})"
    columns = list(group.names(config))
    if group.holds == "categories":
        texts = {spec.name for spec in signature.inputs if spec.dtype == "string" and len(spec.shape) == 2}
        columns = [f"self.{name}_ids{'.rows' if name in texts else ''}({name})" for name in columns]
    return f"torch.stack([{', '.join(columns)}], dim=-1)"


def load_torchscript(path: Path, *, freeze: tuple[str, ...] = (), optimize: bool = False, device: str = "cpu") -> Any:
    """Load a scripted model.

    Args:
        freeze: the methods to keep when weights are folded in as constants; none, to leave the model as scripted.
        optimize: optimize the frozen model by `torch.jit.optimize_for_inference`.
        device: where it computes.

    Raises:
        InputError: the file is not a TorchScript archive, or calls operators that our models
            do not need (`export.guards`).
    """

    def read(name: str) -> Any:
        return torch.jit.load(name, map_location=device).eval()

    with _no_deprecation():
        module = guards.load(path, guards.SCRIPT, read)
        if not freeze:
            return module
        frozen = torch.jit.freeze(module, preserved_attrs=list(freeze))
        return torch.jit.optimize_for_inference(frozen, other_methods=list(freeze)) if optimize else frozen


def script(module: torch.nn.Module) -> Any:
    """Script a module of any kind, as its user would."""
    with _no_deprecation():
        return torch.jit.script(module)


@contextmanager
def _no_deprecation() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
        yield
