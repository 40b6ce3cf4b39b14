"""The weights of a model before training."""

import torch
from torch import Tensor, nn

from bst.config import BSTConfig
from bst.model.cells import EncoderCell, SelfAttention
from bst.model.item_features import ItemFeatures

# Where a tied output reads the state as it is, a cell that adds to its input adds little at first: the model begins by
# telling items by the last one of the history, which is most of what can be learnt of rare ones.
ADDED_AT_FIRST = 0.1
# What a click model says of an item of few events rests on what it shares with others, unless a large vector of chance
# drowns that.
OF_ITEMS_AT_FIRST = 0.1


def initialise(model: nn.Module, config: BSTConfig) -> None:
    """Draw the weights of a `BST`."""
    fill = nn.init.xavier_uniform_ if config.init_method == "xavier" else nn.init.kaiming_uniform_
    for module in model.modules():
        if isinstance(module, SelfAttention):
            for part in module.query_key_value.weight.chunk(3):
                fill(part)
        elif isinstance(module, nn.Linear) and module.bias is not None:
            fill(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            # Unit variance after the sqrt(dim) scale, whatever the catalogue's size: an init that shrinks with the
            # number of rows lets the positions drown the items.
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
            # Item 0 is padding and stays zero; category 0 is the unknown one and starts neutral.
            nn.init.zeros_(module.weight[0].data)
    for module in model.modules():
        if isinstance(module, ItemFeatures):
            module.start_at_zero()
        elif isinstance(module, EncoderCell):
            fill(module.attention.dense.weight)
            if module.residual and config.reads_states:
                with torch.no_grad():
                    module.attention.dense.weight.mul_(ADDED_AT_FIRST)
                    module.ff_2.weight.mul_(ADDED_AT_FIRST)
    if config.reads_states:
        # The state of an event starts as the vector that its next item is scored by, so that items that follow one
        # another draw near from the first step on.
        with torch.no_grad():
            nn.init.eye_(model.get_parameter("head.0.weight")[:, : config.dim])
    if not config.scores_catalogue:
        with torch.no_grad():
            model.get_parameter("item_embedding.weight").mul_(OF_ITEMS_AT_FIRST)
    if config.learns_places:  # as large as those of items, they would drown rare ones
        nn.init.normal_(model.get_parameter("positions"), std=0.02)
    if model.event_embedding is not None:  # as `ItemFeatures.start_at_zero`
        nn.init.zeros_(model.get_parameter("event_embedding.weight"))


def sinusoidal_positions(length: int, dim: int) -> Tensor:
    """Return positions as in Vaswani et al. (2017), section 3.5: sin in the even columns, cos in the odd ones.

    Returns float32 `[length, dim]`; row p is the same whatever `length` is. Computed in float64, so that the table is
    right to the last bit of float32.
    """
    steps = torch.arange(length, dtype=torch.float64).unsqueeze(1)
    rates = torch.pow(10000.0, -torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    table = torch.stack((torch.sin(steps * rates), torch.cos(steps * rates)), dim=-1).flatten(1)
    return table[:, :dim].to(torch.float32)
