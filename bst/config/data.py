"""The columns of the tables, and what is read of them."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from bst.config.values import Positive, Table, check_names, require_different


class DataConfig(Table):
    """The columns of the tables, and the events that are held out."""

    user_column: str = "user_id"
    """The column of users."""
    item_column: str = "item_id"
    """The column of items."""
    time_column: str = "timestamp"
    """The column of times."""
    context: tuple[str, ...] = ()
    """Names of columns that are context features. Where one changes from event to event, the value is taken from the
    event to be predicted, so it must be known before that event."""
    event_features: tuple[str, ...] = ()
    """Names of columns that are categories of an event, such as its kind. A model reads those of past events alone."""
    numbers: tuple[str, ...] = ()
    """Names of columns that are numbers of the request, such as an age; where one changes from event to event, as for
    `context`."""
    label: Annotated[str | None, Field(examples=["clicked"])] = None
    """The column of labels of an impression log: 1 where an item was shown and clicked, 0 where it was shown and not
    clicked. A click model then learns from what was shown; the clicks are the histories."""
    text_ids: bool = False
    """Keep ids as text, also where they are numbers."""
    time_format: Annotated[str | None, Field(examples=["%d/%m/%Y %H:%M"])] = None
    """The format of times, as in strftime; numbers and dates that begin with the year need none."""
    drop_repeats: bool = False
    """Leave out events that repeat the item of the one before."""
    split_at: Annotated[str | None, Field(examples=["2024-01-01"])] = None
    """A time of the table. Events before it are for training, and the first event of each user from then on is the
    test; without it, the last event of each user is."""
    separator: Annotated[str | None, Field(examples=[";"])] = None
    """The text between fields; detected, if it is not given."""
    columns: tuple[str, ...] = ()
    """Names of the fields of a text without a header."""
    no_header: bool = False
    """The first line of a text is data; the columns are `columns`, or `column_1` and so on."""
    ragged: bool = False
    """Each line of a text is a user and then any number of items, oldest first."""
    file_order: bool = False
    """The rows stand in order of time; no column of times is read."""
    users_key: Annotated[str | None, Field(examples=["id"])] = None
    """The column of users in the users' table, where it has another name there."""
    users_columns: tuple[str, ...] = ()
    """Names of the fields of a users' table without a header."""
    items_key: Annotated[str | None, Field(examples=["id"])] = None
    """The column of items in the items' table, where it has another name there."""
    items_columns: tuple[str, ...] = ()
    """Names of the fields of an items' table without a header."""
    name_column: Annotated[str | None, Field(examples=["name"])] = None
    """The column of names in the items' table."""
    item_features: tuple[str, ...] = ()
    """Columns of the items' table that the model learns from."""
    item_numbers: tuple[str, ...] = ()
    """Columns of the items' table that are numbers, such as a price, which the model learns from."""
    value_separator: Annotated[str | None, Field(examples=["|"])] = None
    """What stands between the values of an item feature, where an item has several."""
    where: tuple[str, ...] = ()
    """Conditions such as `event_type=purchase` or `rating=4,5` on the events that are read; all must hold."""
    min_count: Annotated[Positive | None, Field(examples=[5])] = None
    """Users and items with fewer events are left out, again and again until there are none."""

    @model_validator(mode="after")
    def _options_do_not_contradict(self) -> Self:
        timed = {
            "time_column": self.time_column != DataConfig.model_fields["time_column"].default,
            "time_format": self.time_format is not None,
            "split_at": self.split_at is not None,
        }
        for order in ("file_order", "ragged"):
            for name in (name for name, used in timed.items() if used and getattr(self, order)):
                raise ValueError(
                    f"--{order.replace('_', '-')} takes no times from the table, so --{name.replace('_', '-')} "
                    f"{getattr(self, name)} contradicts it; leave one out"
                )
        for option, names in (
            ("--columns", self.columns),
            ("--users-columns", self.users_columns),
            ("--items-columns", self.items_columns),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{option} names {', '.join(map(repr, twice))} twice; give each a name of its own")
        if self.ragged and self.columns:
            raise ValueError("--ragged lines are a user and items, so --columns contradicts it; leave one out")
        return self

    @model_validator(mode="after")
    def _a_log_has_requests(self) -> Self:
        reasons = {
            "file_order": "takes no times from the table, and impressions of one request share a time",
            "ragged": "takes no times from the table, and impressions of one request share a time",
            "drop_repeats": "leaves out repeats of events, and each impression of a log counts",
        }
        for name in (name for name in reasons if self.label is not None and getattr(self, name)):
            raise ValueError(f"--{name.replace('_', '-')} {reasons[name]}: leave it or --label {self.label} out")
        return self

    @model_validator(mode="after")
    def _context_is_beside_the_events(self) -> Self:
        inputs = {"context feature": self.context, "event feature": self.event_features, "number": self.numbers}
        for what, names in inputs.items():
            check_names(names, what)
        require_different("input", tuple(name for names in inputs.values() for name in names))
        named: tuple[str, ...] = (self.user_column, self.item_column, self.time_column)
        if len(set(named)) < len(named):
            raise ValueError(f"users, items and times are in the columns {', '.join(named)}; name three different ones")
        if self.label in named:
            raise ValueError(f"label {self.label!r} is the column of users, items or times; name the column of labels")
        require_different("item feature", (*self.item_features, *self.item_numbers))
        if self.value_separator == "":
            raise ValueError("value_separator is empty; give the text between two values, such as '|'")
        for what, names in inputs.items():
            if shared := set(named) & set(names):
                raise ValueError(f"{what} {shared.pop()!r} is a column of the events themselves; leave it out")
            if self.label in names:
                raise ValueError(f"{what} {self.label!r} is the label, which is to be predicted; leave it out")
        return self
