"""Features of items in the model, which they add to the vectors of the items.

A table of vectors a feature, and beside it the categories of every item, so that a caller gives item ids alone.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bst.config import BSTConfig


class ItemFeatures(nn.Module):
    """What the features of items add to their rows: for each feature the mean over the vectors of its categories.

    `values_0`, `values_1` and so on, int32 `[num_items + 1, num_values]`, hold the categories of each item from 1, 0
    where there are fewer. An item without any has the unknown category, 0; row 0, of padding, adds nothing.

    `numbers`, float32 `[num_items + 1, num_numbers]`, holds the numbers of each item as deviations from their mean, and
    `known`, bool of the same shape, says which are known. A number adds itself times a vector, an unknown one a vector
    of its own.
    """

    def __init__(self, config: BSTConfig) -> None:
        super().__init__()
        # A number has two vectors: row 1 is that of the number, row 0 that of an unknown one.
        sizes = [feature.num_categories + 1 for feature in config.item_features] + [2 for _ in config.item_numbers]
        self.embeddings = nn.ModuleList(nn.Embedding(size, config.feature_dim or config.dim) for size in sizes)
        # Where each stands that has columns of its own.
        self.columns = [config.first_column(field) for field in range(len(sizes))] if config.feature_dim else []
        self.dim = config.dim
        if config.has_output_rows:
            self.output_embeddings = nn.ModuleList(nn.Embedding(size, config.user_width) for size in sizes)
        self.num_features = len(config.item_features)
        for number, feature in enumerate(config.item_features):
            values = torch.zeros(config.num_items + 1, feature.num_values, dtype=torch.int32)
            self.register_buffer(f"values_{number}", values)
        if config.item_numbers:
            self.register_buffer("numbers", torch.zeros(config.num_items + 1, len(config.item_numbers)))
            self.register_buffer("known", torch.zeros(self.get_buffer("numbers").shape, dtype=torch.bool))

    def start_at_zero(self) -> None:
        """Begin as a model without features. From random vectors, training was worse than without features at first:
        the vectors of items begin larger then, and rare items begin with those of others.
        """
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.zeros_(module.weight)

    def set_values(self, values: Sequence[Tensor], numbers: Tensor | None = None) -> None:
        """Take the categories of all items, a tensor a feature, and their numbers, NaN where one is not known."""
        for number, rows in enumerate(values):
            self.get_buffer(f"values_{number}").copy_(rows)
        if numbers is not None:
            self.get_buffer("numbers").copy_(numbers.nan_to_num())
            self.get_buffer("known").copy_(~numbers.isnan())

    def forward(self, items: Tensor) -> Tensor:
        """Sum over the features for items int64 `[...]`: float32 `[..., dim]`."""
        if not self.columns:
            return self._sum(self._parts(self.embeddings, items), items)
        parts = zip(self._parts(self.embeddings, items), self.columns, strict=True)
        return self._sum((placed(part, first, self.dim) for part, first in parts), items)

    def output_rows(self, items: Tensor) -> Tensor:
        """Sum over the features for the output rows of items int64 `[...]`: float32 `[..., output_width]`."""
        return self._sum(self._parts(self.output_embeddings, items), items)

    def _sum(self, parts: Iterable[Tensor], items: Tensor) -> Tensor:
        total = torch.zeros((), device=items.device)
        for part in parts:
            total = total + part
        return total * (items > 0).unsqueeze(-1)

    def _parts(self, embeddings: nn.ModuleList, items: Tensor) -> Iterator[Tensor]:
        """Yield what each feature and number gives, in their order, `[..., width]`.

        Added column by column and not as one product: the same items give the same bits in any batch.
        """
        for number, embedding in enumerate(embeddings[: self.num_features]):
            values = self.get_buffer(f"values_{number}")[items]  # [..., num_values]
            weights = (values > 0).to(torch.float32)
            count = weights.sum(dim=-1, keepdim=True)
            weights = weights / count.clamp(min=1)
            weights[..., :1] += (count == 0).to(torch.float32)  # of the unknown category
            rows = weights[..., :1] * embedding(values[..., 0])
            for column in range(1, values.size(-1)):
                rows = rows + weights[..., column, None] * embedding(values[..., column])
            yield rows
        for column, embedding in enumerate(embeddings[self.num_features :]):
            numbers = self.get_buffer("numbers")[items, column]  # [...]
            is_known = self.get_buffer("known")[items, column]
            factors = torch.where(is_known, numbers, 1).unsqueeze(-1)
            yield factors * embedding(is_known.to(torch.int64))


def placed(rows: Tensor, first: int, dim: int) -> Tensor:
    """Put rows `[..., width]` at their own columns, from `first` on: `[..., dim]`, 0 elsewhere."""
    return F.pad(rows, (first, dim - first - rows.size(-1)))
