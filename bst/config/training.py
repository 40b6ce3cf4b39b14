"""The training of the weights."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bst.config.values import SPARSE_EVENTS, Above0, Fraction, Positive, Table

# Beyond this many items a full softmax is not practical on a CPU.
FULL_SOFTMAX_ITEMS = 50_000
SPARSE_EVENT_DROPOUT = 0.3
OVERLAP = 0.5
# Above this share of targets that are in their own history, no metric leaves out the items of the history.
RETURNING = 0.03
NEXT_ITEM_RATE = 1e-3
CLICK_RATE = 3e-3
ITEM_RATE = 1e-2
# Below so many training events an item, the vectors of items learn at that rate, and windows have nothing in common: of
# MovieLens-100k, with 58, that is right, and of MovieLens-1M, with 287, wrong.
FEW_EVENTS = 100
# So many times lower are the rates of a training that goes on from a run: at those of a new model, one more epoch
# unlearns more than it learns.
LOWER_GOING_ON = 10


Softmax = Literal["full_softmax", "sampled_softmax"]


class TrainConfig(Table):
    """The training of the weights."""

    epochs: Positive = 16
    """Passes over the data."""
    batch_events: Positive = 1024
    """Events that a step predicts, or impressions of a log, over all processes together: about so many, in windows of
    at most `max_length` events, or in whole requests."""
    loss: Literal["auto", "full_softmax", "sampled_softmax"] = "auto"
    """`full_softmax` scores the whole catalogue for every example; `sampled_softmax` scores the target and
    `num_negatives` others that a batch shares, and moves the vectors of those items alone. `auto` is the sampled one
    for more than 50,000 items or fewer than 30 training events an item, unless there are no more than
    `num_negatives` items."""
    num_negatives: Positive = 6144
    """Items that `sampled_softmax` draws a step."""
    negatives: Literal["uniform", "popularity"] = "uniform"
    """How the negatives of a click model are drawn from the items that are trained on: all alike, or each as often as
    it comes in the training events. The target is never a negative of its own. Of an impression log
    nothing is drawn."""
    negatives_per_event: Positive = 1
    """Negatives that a click model is trained and measured with, beside each event."""
    learning_rate: Annotated[Above0 | None, Field(examples=[1e-3])] = None
    """The highest step size of AdamW; if it is not given, 0.001, and 0.003 for a click model."""
    event_dropout: Annotated[Fraction | None, Field(examples=[0.3])] = None
    """Share of the events that an epoch leaves out at random, so that an event is also predicted from those further
    back. If it is not given, a next-item model leaves out 0.3 where there are fewer than 30 training events an item;
    otherwise nothing is left out."""
    overlap: Annotated[Fraction | None, Field(examples=[0.5])] = None
    """Share of `max_length` that neighbouring windows of a history have in common: a window reads these events, and the
    one before it predicts them. So an event is predicted from at least so many, if its user had so many before it. If
    it is not given, 0.5 in a next-item model where there are 100 training events an item or more, and otherwise 0."""
    item_learning_rate: Above0 = ITEM_RATE
    """The highest step size of the item vectors, of which a step moves only the rows that it reads: under
    `sampled_softmax`, where there are fewer than 100 training events an item, and of a click model."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """Of matrices only: embeddings, norms and biases do not decay."""
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    """Steps in which the learning rate rises, linearly; at most half of all steps."""
    schedule: Literal["constant", "cosine", "multistep"] = "cosine"
    """The shape of the learning rate after the warm-up."""
    milestones: tuple[Positive, ...] = ()
    """Epochs after which `multistep` multiplies the learning rate by `gamma`."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """The factor of `multistep`."""
    clipping: Literal["off", "fixed", "adaptive_epoch", "adaptive_total"] = "fixed"
    """The limit of the total gradient norm: `clip_norm` if `fixed`; `adaptive_epoch` starts there and then is the mean
    plus the standard deviation of the epoch before, `adaptive_total` the mean of all steps before."""
    clip_norm: Above0 = 5.0
    """The largest gradient norm."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`bfloat16` computes under autocast, with weights and optimiser in float32. `auto` is bfloat16 for a next-item
    model of a `dim` of at least 64, where the processor has instructions for it. A model is always measured in
    float32."""
    compile: bool = False
    """Train through `torch.compile`."""
    patience: Annotated[Positive | None, Field(examples=[3])] = None
    """Stop after this many epochs in a row without a better validation NDCG@10; never, if not given."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 300.0
    """The time between checkpoints; every epoch ends in a checkpoint as well."""
    filter_seen: Annotated[bool | None, Field(examples=[True])] = None
    """Leave the items of the history out of the ranking in metrics, unless the target is one of them. If it is not
    given, they are left out unless more than 3 % of the targets return. A bundle's `top_k` does the same by default."""
    validation_users: Annotated[Positive | None, Field(examples=[1000])] = None
    """The number of random users by which the best epoch is chosen; all, if not given."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Fixes every random choice."""

    @model_validator(mode="after")
    def _milestones_go_with_multistep(self) -> Self:
        if bool(self.milestones) != (self.schedule == "multistep"):
            raise ValueError(
                f"milestones={list(self.milestones)} with schedule={self.schedule!r}; "
                "milestones (counted in epochs) belong to schedule='multistep', which needs at least one"
            )
        return self

    def fitted(self, num_items: int, num_events: int) -> tuple[TrainConfig, tuple[str, ...]]:
        """Choose what is left open for a next-item model of so many items from so many events to predict, and say why.

        Returns:
            the settings with `loss`, `event_dropout`, `overlap` and `learning_rate`, and lines that say what depends
            on the data.
        """
        loss, loss_reason = self.loss_of(num_items, num_events)
        against = "all items"
        if loss == "sampled_softmax":
            against = f"{self.num_negatives:,} items drawn a step; of the vectors of items only those in a step move"
        lines = [f"{loss.replace('_', ' ')}: every target against {against} ({loss_reason})"]
        an_item = f"{num_events / num_items:,.1f} training events an item"
        few = f"{an_item} are fewer than"
        if loss == "full_softmax" and self.trains_items_apart(num_items, num_events):
            item_rate = f"{self.item_learning_rate:g}"
            lines.append(f"vectors of items learn at a rate of their own, {item_rate} ({few} {FEW_EVENTS})")
        event_dropout, reason = self.event_dropout, "as set"
        if event_dropout is None:
            event_dropout = SPARSE_EVENT_DROPOUT if num_events < SPARSE_EVENTS * num_items else 0.0
            reason = f"{few} {SPARSE_EVENTS}"
        if event_dropout:
            lines.append(f"an epoch leaves out {100 * event_dropout:g} % of the events at random ({reason})")
        overlap, reason = self.overlap, "as set"
        if overlap is None:
            overlap = 0.0 if num_events < FEW_EVENTS * num_items else OVERLAP
            reason = f"{an_item} are {FEW_EVENTS} or more"
        if overlap:
            lines.append(f"windows of a history have {100 * overlap:g} % in common with the next one ({reason})")
        rate = self.learning_rate or NEXT_ITEM_RATE
        values = {"loss": loss, "event_dropout": event_dropout, "overlap": overlap, "learning_rate": rate}
        return self.model_copy(update=values), tuple(lines)

    def going_on(self, task: str) -> TrainConfig:
        """Return the settings of a training that goes on from a run with these: a tenth of the learning rates that a
        new model of `task` has where nothing is said.
        """
        rate = NEXT_ITEM_RATE if task == "next_item" else CLICK_RATE
        rates = {"learning_rate": rate / LOWER_GOING_ON, "item_learning_rate": ITEM_RATE / LOWER_GOING_ON}
        return self.model_copy(update=rates)

    def fitted_to_clicks(self) -> TrainConfig:
        """Choose what is left open for a click model."""
        return self.model_copy(
            update={"learning_rate": self.learning_rate or CLICK_RATE, "overlap": self.overlap or 0.0}
        )

    def trains_items_apart(self, num_items: int, num_events: int) -> bool:
        """Say whether the item vectors of a next-item model are trained by row, with `item_learning_rate`."""
        sampled = self.loss_of(num_items, num_events)[0] == "sampled_softmax"
        return sampled or num_events < FEW_EVENTS * num_items

    def loss_of(self, num_items: int, num_events: int) -> tuple[Softmax, str]:
        """Choose the loss of a next-item model of so many items for so many events to predict, and say why."""
        if self.loss != "auto":
            return self.loss, "as set"
        if num_items <= self.num_negatives:
            return "full_softmax", f"{num_items:,} items are no more than num_negatives={self.num_negatives:,}"
        if num_items > FULL_SOFTMAX_ITEMS:
            return "sampled_softmax", f"{num_items:,} items are more than {FULL_SOFTMAX_ITEMS:,}"
        an_item = f"{num_events / num_items:,.1f} training events an item"
        if num_events < SPARSE_EVENTS * num_items:
            return "sampled_softmax", f"{an_item} are fewer than {SPARSE_EVENTS}"
        return "full_softmax", f"{an_item} are {SPARSE_EVENTS} or more"
