"""The items of a model: their vectors in the history, and their rows of the output layer."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bst.model.item_features import ItemFeatures, placed


class Items(nn.Module):
    """What a `BST` knows of its items; it has the tables, as parts of its own.

    Shape letters: D dim, U user width, V items of the catalogue.
    """

    __constants__: tuple[str, ...] = (
        "tied_output",
        "own_columns",
    )  # TorchScript compiles only the branches that they choose
    tied_output: bool
    own_columns: bool
    dim: int
    id_dropout: float
    item_embedding: nn.Embedding
    item_features: ItemFeatures | None
    output_bias: nn.Parameter
    output: nn.Linear

    def item_scores(self, user_vectors: Tensor) -> Tensor:
        """Score the catalogue for vectors `[..., user_width]`: float32 `[..., num_items]`, column j is item j + 1."""
        if self.tied_output and (self.item_features is not None or self.own_columns):
            # With the row of padding, as the folded table has it: a product of other sizes may differ in the last bit.
            items = torch.arange(self.item_embedding.num_embeddings, device=self.output_bias.device)
            return F.linear(user_vectors, self.item_vectors(items), self.output_bias)[..., 1:]
        elif self.item_features is not None:
            return F.linear(user_vectors, *self.output_layer())
        elif self.tied_output:
            return F.linear(user_vectors, self.item_embedding.weight, self.output_bias)[..., 1:]
        else:
            return self.output(user_vectors)

    def output_layer(self) -> tuple[Tensor, Tensor]:
        """Return the weights `[num_items, user_width]` and biases `[num_items]` of the output layer; row j is item j +
        1.

        For training. Exported, the cut of a tied layer's first row would be a second copy of the weights.
        """
        if self.item_features is not None or (self.own_columns and self.tied_output):
            return self.output_rows(
                torch.arange(1, self.item_embedding.num_embeddings, device=self.item_embedding.weight.device)
            )
        elif self.tied_output:
            return self.item_embedding.weight[1:], self.output_bias[1:]
        else:
            return self.output.weight, self.output.bias

    def output_layer_parameters(self) -> tuple[Tensor, Tensor]:
        """Return the stored parameters of the output layer, without item features; tied, row 0 is that of padding."""
        if self.tied_output:
            return self.item_embedding.weight, self.output_bias
        return self.output.weight, self.output.bias

    def output_rows(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights `[..., user_width]` and biases `[...]` of the output layer for item indices `[...]`,
        int64 from 1.
        """
        if self.tied_output:
            return self.item_vectors(items), self.output_bias[items]
        else:
            rows = F.embedding(items - 1, self.output.weight, sparse=self.item_embedding.sparse)
            if self.item_features is not None:
                rows = self._drop_ids(rows) + self.item_features.output_rows(items)
            return rows, self.output.bias[items - 1]

    def item_vectors(self, items: Tensor) -> Tensor:
        """Vectors of items int64 `[...]`, of their ids and their features: float32 `[..., D]`, 0 for padding."""
        vectors = self.item_embedding(items)
        if self.own_columns:
            vectors = placed(vectors, 0, self.dim)
        if self.item_features is not None:
            vectors = self._drop_ids(vectors) + self.item_features(items)
        return vectors

    def _drop_ids(self, vectors: Tensor) -> Tensor:
        """Leave out, in training, whole vectors `[..., any]` of ids by chance, so that features learn to do without."""
        if not self.training:
            return vectors
        kept = torch.rand(vectors.shape[:-1], device=vectors.device) >= self.id_dropout
        return vectors * kept.unsqueeze(-1)
