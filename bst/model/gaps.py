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

    latest: Final[int] = 2**36  # beyond the year 4000; keeps differences within int64
    to_next: Final[bool]
    steps: Tensor

    def __init__(self, *, to_next: bool) -> None:
        super().__init__()
        self.to_next = to_next
        steps = 2 ** torch.arange(NUM_GAPS - 2, dtype=torch.int64, device="cpu")
        self.register_buffer("steps", steps, persistent=False)

    def forward(self, real: Tensor, event_time: Tensor, request_time: Tensor) -> Tensor:
        """Return rows, int64 `[B, L]`; what they are where a slot is not real says nothing.

        Args:
            real: bool `[B, L]`, the slots with an event.
            event_time: int64 `[B, L]`, seconds since 1970.
            request_time: int64 `[B]`, likewise.
        """
        later = request_time.unsqueeze(1)
        if self.to_next:
            later = self._following(real, event_time, later)
        gaps = self._bounded(later) - self._bounded(event_time)
        # Compared, not logarithms: every runtime gives the same row at the edges. Summed as floats, exactly: OpenVINO
        # 2026.4 sums integers wrongly in the last rows of a batch.
        passed = (gaps.unsqueeze(-1) >= self.steps).to(torch.float32).sum(dim=-1)
        return torch.where((event_time > 0) & (later > 0), 1 + passed.to(torch.int64), 0)

    def _bounded(self, times: Tensor) -> Tensor:
        """Keep times within 0 and the latest. Not by a clamp: Clip of int64 is wrong in ONNX Runtime 1.30 for Node."""
        return torch.where(times > 0, torch.where(times < self.latest, times, self.latest), 0)

    def _following(self, real: Tensor, event_time: Tensor, request_time: Tensor) -> Tensor:
        """Return the time of the next real event, int64 `[B, L]`; from the last one on that of the request `[B, 1]`."""
        counted = real.to(torch.int64)
        order = counted.cumsum(dim=1)  # from 1 at the first event
        last = order == order[:, -1:]
        # Times without the slots between them: a slot that is not real adds nothing to the first one.
        times = torch.zeros_like(event_time).scatter_add(1, (order - 1) * counted, event_time * counted)
        return torch.where(last, request_time, times.gather(1, torch.where(last, 0, order)))
