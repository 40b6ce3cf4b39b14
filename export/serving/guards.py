"""The guards before a model at index level: the cut of histories, and the range of indices.

Scripted as `export.serving.scorer` is.
"""

from typing import Any, Dict, Final  # noqa: UP035  the words that TorchScript knows

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._jit_internal import is_scripting, unused

from bst.config import BSTConfig


class Guards(nn.Module):
    """What stands before a model at index level: every history is cut to its newest slots, every index is in range.

    `one_length`: exported, every history is padded to `max_length`, for compilers that cannot cut it to a length that
    is known only at the call. It costs time, and is wrong for a model to which padding counts.
    """

    per_event: Final[bool]
    keeps_oldest: Final[bool]
    unknown_row: Final[int]
    num_categories: Tensor
    num_event_categories: Tensor
    num_candidate_categories: Tensor

    def __init__(self, config: BSTConfig, *, one_length: bool = False) -> None:
        super().__init__()
        self.max_length = config.max_length
        self.one_length = one_length
        self.num_items = config.num_items
        self.per_event = any(group.per_event for group in config.inputs)
        self.keeps_oldest = config.longer_histories == "oldest"
        self.unknown_row = config.unknown_row
        for name, counts in (
            ("num_categories", [feature.num_categories for feature in config.context]),
            ("num_event_categories", [feature.num_categories for feature in config.event_features]),
            ("num_candidate_categories", [feature.num_categories for feature in config.candidate_features]),
        ):
            self.register_buffer(name, torch.tensor(counts, dtype=torch.int64), persistent=False)
        self.sequence_names = [sequence.name for sequence in config.sequences]
        self.sequences = nn.ModuleList(Guards(encoder, one_length=one_length) for encoder in config.encoder_configs)

    def cut(self, inputs: Dict[str, Tensor]) -> Dict[str, Tensor]:  # noqa: UP006
        """Cut histories of any length, and what stands beside their events, to the events that the model reads, and
        likewise other sequences.
        """
        cut = self.cut_history(inputs)
        for place, guards in enumerate(self.sequences):
            name = self.sequence_names[place]
            if is_scripting():  # noqa: SIM102  other formats, or their sessions, refuse it by themselves
                if inputs[name].size(0) != inputs["items"].size(0):
                    raise ValueError(
                        f"{name} has {inputs[name].size(0)} rows for {inputs['items'].size(0)} users; give a row each"
                    )
            cut[name] = guards.cut_history({"items": inputs[name]})["items"]  # type: ignore[operator]
        return cut

    def cut_history(self, inputs: Dict[str, Tensor]) -> Dict[str, Tensor]:  # noqa: UP006
        """Cut as `cut` does, but leave other sequences as they are."""
        cut = inputs.copy()
        if not self.per_event and not self.keeps_oldest:
            cut["items"] = self.newest(inputs["items"])
            return cut
        # Cut as one: two cuts have two lengths to torch.export.
        columns = [inputs["items"].unsqueeze(-1)]
        if "events" in inputs:
            columns.append(inputs["events"])
        if "event_time" in inputs:
            columns.append(inputs["event_time"].unsqueeze(-1))
        joined = torch.cat(columns, dim=-1)
        if self.keeps_oldest:  # noqa: SIM108  TorchScript compiles only the branch that the constant chooses
            rows = self.oldest(joined)
        else:
            rows = self.newest(joined)
        cut["items"] = rows[:, :, 0]
        if "events" in inputs:
            cut["events"] = rows[:, :, 1 : 1 + inputs["events"].size(-1)]
        if "event_time" in inputs:
            cut["event_time"] = rows[:, :, -1]
        return cut

    def newest(self, items: Tensor) -> Tensor:
        """Cut `[batch, length]` or `[batch, length, any]` to the newest `max_length` slots."""
        if not is_scripting():  # noqa: SIM102  TorchScript compiles only what stands behind this alone
            if torch.compiler.is_exporting():
                return self._newest_exported(items)
        return items[:, -self.max_length :]

    @unused
    def _newest_exported(self, items: Tensor) -> Tensor:
        # torch.export takes a slice of a dynamic length for a constant. Padded first, it is one; then the padding is
        # cut off again, by a number from a tensor, which torch.export cannot take for a constant.
        longest = self.max_length
        padded = F.pad(items, (longest, 0) if items.dim() == 2 else (0, 0, longest, 0))[:, -longest:]
        if self.one_length:
            return padded
        length: Any = (torch.arange(longest, device=items.device) < items.size(1)).sum().item()
        torch._check(length >= 1)
        torch._check(length <= longest)
        return padded.narrow(1, longest - length, length)

    def oldest(self, rows: Tensor) -> Tensor:
        """Gather the oldest `max_length` events of `[batch, length, any]`, whose first column holds items, with padding
        behind them and none between: `[batch, max_length, any]`.
        """
        counted = (rows[:, :, 0] > 0).to(torch.float32).cumsum(dim=1)  # [B, length]; as floats, exactly: see `Gaps`
        places = torch.arange(1, self.max_length + 1, device=rows.device).unsqueeze(1)  # [max_length, 1]
        # The slot of the n-th event is the number of slots with fewer events up to them; behind all, where it is not.
        slots = (counted.unsqueeze(1) < places).to(torch.float32).sum(dim=-1).to(torch.int64)  # [B, max_length]
        padded = F.pad(rows, (0, 0, 0, 1))
        return padded.gather(1, slots.unsqueeze(-1).expand(-1, -1, rows.size(-1)))

    def guard_items(self, items: Tensor) -> Tensor:
        """Turn every index that is no item into padding, or into the row for unknown items where there is one."""
        inside = (items > 0) & (items <= self.num_items)
        if self.unknown_row > 0:
            return torch.where(inside | (items == 0), items, self.unknown_row)
        else:
            return torch.where(inside, items, 0)

    def guard_context(self, context: Tensor) -> Tensor:
        """Turn every index that is no category into 0, the unknown one."""
        return torch.where((context > 0) & (context <= self.num_categories), context, 0)

    def guard_events(self, events: Tensor) -> Tensor:
        """Turn every index that is no category of an event into 0, the unknown one."""
        return torch.where((events > 0) & (events <= self.num_event_categories), events, 0)

    def guard_candidate_features(self, features: Tensor) -> Tensor:
        """Turn every index that is no category of a candidate into 0, the unknown one."""
        return torch.where((features > 0) & (features <= self.num_candidate_categories), features, 0)
