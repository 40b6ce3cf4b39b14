"""A session that hands candidates of a click model to its program in blocks: memory does not grow with their number.

A graph of ONNX and a TorchScript method hold that loop themselves. A program of `torch.export` cannot: its loops are
experimental, and the reader of programs takes plain operators alone.
"""

from __future__ import annotations

from typing import Any

import torch

from export.contract.signatures import PROBABILITIES, Signature
from export.sessions.session import TorchSession

ROWS = 512  # of all users together; from 256 to 1,024 the time was the same, and all at once took nearly twice as long
AXIS = "n"


class BlockSession(TorchSession):
    """A function of candidates `[batch, n]`, called for about `ROWS` of them at a time, in blocks of equal size."""

    def __init__(self, signature: Signature, method: Any, rows: int = ROWS) -> None:
        super().__init__(signature, method)
        self.rows = rows
        self.of_candidates = [AXIS in spec.shape for spec in signature.inputs]

    def run(self, prepared: list[Any]) -> Any:
        batch, number = prepared[self.of_candidates.index(True)].shape[:2]
        blocks = min(number, -(-number * batch // self.rows))
        if blocks <= 1:
            return super().run(prepared)
        size = -(-number // blocks)
        answers = [
            super(BlockSession, self).run(
                [
                    tensor[:, start : start + size].contiguous() if parted else tensor
                    for tensor, parted in zip(prepared, self.of_candidates, strict=True)
                ]
            )
            for start in range(0, number, size)
        ]
        return tuple(torch.cat(parts, dim=1) for parts in zip(*answers, strict=True))


def program_session(signature: Signature, method: Any) -> TorchSession:
    """Return a session of a program of `torch.export`, or compiled from one."""
    takes_blocks = PROBABILITIES in signature.output_names
    return BlockSession(signature, method) if takes_blocks else TorchSession(signature, method)
