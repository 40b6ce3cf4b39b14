"""Backends with a known fault, for tests: they are opened in processes of their own, so they live in a module."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from export import Bundle, Session


class Planted(Session):
    """ONNX Runtime, but every call takes longer by a share of itself, or has its scores or ids spoilt."""

    def __init__(self, inner: Session, slower: float, fault: str) -> None:
        super().__init__(inner.signature)
        self.inner, self.slower, self.fault = inner, slower, fault

    def prepare(self, inputs: Any) -> Any:
        return self.inner.prepare(inputs)

    def run(self, prepared: Any) -> Any:
        if self.fault == "raises":
            raise RuntimeError("planted")
        started = time.perf_counter()
        outputs = self.inner.run(prepared)
        until = started + (time.perf_counter() - started) * (1 + self.slower)
        while time.perf_counter() < until:
            pass
        return outputs

    def finish(self, outputs: Any) -> dict[str, Any]:
        arrays = {name: array.copy() for name, array in self.inner.finish(outputs).items()}
        if self.fault == "score":
            arrays["scores"][0, 0] += 1e-3 * np.abs(arrays["scores"]).max()
        if self.fault == "order":
            arrays["item_ids"][0, [0, 1]] = arrays["item_ids"][0, [1, 0]]
        return arrays


def open_planted(bundle: Bundle, signature: str, threads: int, *, slower: float = 0.0, fault: str = "") -> Session:
    return Planted(bundle.session("onnxruntime", signature, threads=threads), slower, fault)
