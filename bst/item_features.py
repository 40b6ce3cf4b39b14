"""Features of items in the model, which they add to the vectors of the items.

A table of vectors a feature, and beside it the categories of every item, so that a caller gives item ids alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bst.config import ItemFeature


class ItemFeatures(nn.Module):
    """What the features of items add to their rows: for each feature the mean over the vectors of its categories.

    `values_0`, `values_1` and so on, int32 `[num_items + 1, num_values]`, hold the categories of each item from 1, 0
    where there are fewer. An item without any has the unknown category, 0; row 0, of padding, adds nothing.

    Args:
        dim: width of the item vectors.
        output_width: width of the rows of an output layer of its own; None, where that is tied to the item vectors.
    """

    def __init__(self, features: Sequence[ItemFeature], num_items: int, dim: int, output_width: int | None) -> None:
        super().__init__()
        sizes = [feature.num_categories + 1 for feature in features]
        self.embeddings = nn.ModuleList(nn.Embedding(size, dim) for size in sizes)
        if output_width is not None:
            self.output_embeddings = nn.ModuleList(nn.Embedding(size, output_width) for size in sizes)
        for number, feature in enumerate(features):
            values = torch.zeros(num_items + 1, feature.num_values, dtype=torch.int32)
            self.register_buffer(f"values_{number}", values)

    def start_at_zero(self) -> None:
        """Begin as a model without features. From random vectors, training was worse than without features at first:
        the vectors of items begin larger then, and rare items begin with those of others.
        """
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.zeros_(module.weight)

    def set_values(self, values: Sequence[Tensor]) -> None:
        """Take the categories of all items, a tensor a feature."""
        for number, rows in enumerate(values):
            self.get_buffer(f"values_{number}").copy_(rows)

    def forward(self, items: Tensor) -> Tensor:
        """Sum over the features for items int64 `[...]`: float32 `[..., dim]`."""
        return self._sum(self.embeddings, items)

    def output_rows(self, items: Tensor) -> Tensor:
        """Sum over the features for the output rows of items int64 `[...]`: float32 `[..., output_width]`."""
        return self._sum(self.output_embeddings, items)

    def _sum(self, embeddings: nn.ModuleList, items: Tensor) -> Tensor:
        """Add column by column and not as one product: the same items give the same bits in any batch."""
        total = torch.zeros((), device=items.device)
        for number, embedding in enumerate(embeddings):
            values = self.get_buffer(f"values_{number}")[items]  # [..., num_values]
            weights = (values > 0).to(torch.float32)
            count = weights.sum(dim=-1, keepdim=True)
            weights = weights / count.clamp(min=1)
            weights[..., :1] += (count == 0).to(torch.float32)  # of the unknown category
            for column in range(values.size(-1)):
                total = total + weights[..., column, None] * embedding(values[..., column])
        return total * (items > 0).unsqueeze(-1)
