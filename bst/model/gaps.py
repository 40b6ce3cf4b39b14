"""Times between events as rows of a table: wide steps, so that a gap of seconds and one of years both have one.

Row 0 is for a gap that is not known, row 1 for less than a second, row n + 2 for 2^n to 2^(n + 1) seconds, and the last
one, 30, for all beyond 2^28 (8.5 years). A gap that is negative, because times run backwards or lie in the future,
counts as 0. A time of 0 or less is not known.
"""

from typing import Final

import torch
from torch import Tensor, nn

from bst.config import NUM_GAPS


class Gaps(nn.Module):
    """The time from each event to the next one, or to the request, as a row of a table; without weights."""

    to_next: Final[bool]
    steps: Tensor

    def __init__(self, *, to_next: bool) -> None:
        super().__init__()
        self.to_next = to_next
        # A gap has passed the first of them in any case, the next ones at 1 s, 2 s, 4 s and so on.
        first = torch.tensor([torch.iinfo(torch.int64).min], device="cpu")
        powers = 2 ** torch.arange(NUM_GAPS - 2, dtype=torch.int64, device="cpu")
        self.register_buffer("steps", torch.cat((first, powers)), persistent=False)

    def forward(self, real: Tensor, later: Tensor, event_time: Tensor, request_time: Tensor) -> Tensor:
        """Return rows, int64 `[B, L]`; what they are where a slot is not real says nothing.

        Args:
            real: bool `[B, L]`, the slots with an event.
            later: int64 `[B, L]`, how many events come after each slot.
            event_time: int64 `[B, L]`, seconds since 1970.
            request_time: int64 `[B]`, likewise.
        """
        following = request_time.unsqueeze(1)
        if self.to_next:
            # A table of times, the newest first, without the slots between events: a slot that is not real adds nothing
            # to it. The request comes before the newest event, so that the next time of each has the place `later`.
            counted = real.to(torch.int64)
            table = torch.cat((following, counted * 0), dim=1)  # [B, 1 + L]
            following = table.scatter_add(1, later + 1, event_time * counted).gather(1, later)
        # Of two times that are known, above 0, the difference is within int64; of others it may wrap, and is not read.
        gaps = (following - event_time).unsqueeze(-1)
        # Compared, not logarithms: every runtime gives the same row at the edges. Summed as floats, exactly: OpenVINO
        # 2026.4 sums integers wrongly in the last rows of a batch. Nothing is clamped: Clip of int64 is wrong in ONNX
        # Runtime 1.30 for Node.
        rows = (gaps >= self.steps).to(torch.float32).sum(dim=-1).to(torch.int64)
        return torch.where((event_time > 0) & (following > 0), rows, 0)
