"""Options for tables, shared by commands: each is a setting of `DataConfig`, and is listed once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from bst.config import DataConfig
from bst.errors import InputError
from bst.system.commands import INPUT
from bst.system.text import split_list
from bst.system.validation import validated

DEFAULTS = DataConfig()
Changes = Mapping[str, Any]  # the settings that the user chose, by name
Body = Callable[..., None]


@dataclass(frozen=True)
class TableOption:
    """An option for a setting of `DataConfig`.

    Attributes:
        kind: its type on the command line.
        flags: its names on the command line, if not the setting's own.
        read: turns the option's value into the setting's.
        default: its default, in words.
    """

    setting: str
    help: str
    kind: Any = str
    flags: tuple[str, ...] = ()
    read: Callable[[Any], Any] = lambda value: value
    default: str = ""

    def parameter(self, default: str) -> inspect.Parameter:
        """Make the parameter of a command, whose help states the `default`."""
        flags = self.flags or (f"--{self.setting.replace('_', '-')}",)
        text = f"{self.help}  [default: {default}]" if default else self.help
        option = typer.Option(*flags, help=text, rich_help_panel=INPUT, show_default=False)
        annotation = Annotated[self.kind | None, option]  # type: ignore[name-defined]
        return inspect.Parameter(
            self.setting, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation
        )


def _names(text: str) -> tuple[str, ...]:
    return tuple(split_list(text))


def _all(texts: Sequence[str]) -> tuple[str, ...] | None:
    return tuple(texts) or None


TABLE_OPTIONS = (
    TableOption("user_column", "Column of users.", default=DEFAULTS.user_column),
    TableOption("item_column", "Column of items.", default=DEFAULTS.item_column),
    TableOption("time_column", "Column of times.", default=DEFAULTS.time_column),
    TableOption("label", "Column of labels of an impression log: 1 clicked, 0 shown and not clicked."),
    TableOption("time_format", "Format of times, such as %d/%m/%Y %H:%M; numbers and year-first dates need none."),
    TableOption(
        "file_order",
        "Rows stand in order of time: read no times.",
        bool,
        ("--file-order/--no-file-order",),
    ),
    TableOption("separator", "Text between fields: ';', '::', tab, blank.", default="detected"),
    TableOption("columns", "Names of the fields of a text without a header, by commas.", read=_names),
    TableOption("no_header", "Whether the first line of a text is data.", bool, ("--no-header/--header",)),
    TableOption("ragged", "Each line is a user and then the items, oldest first.", bool, ("--ragged/--no-ragged",)),
    TableOption("users_key", "Column of users in the users' table.", default="as in the events"),
    TableOption("users_columns", "Names of the fields of a users' table without a header.", read=_names),
    TableOption(
        "where",
        "Read events with these values: event_type=purchase, rating=4,5; may be given again.",
        list[str],
        read=_all,
    ),
    TableOption("min_count", "Leave out users and items with fewer events, until there are none.", int),
    TableOption("split_at", "Train on events before this time; test on each user's first event from then on."),
)
ITEM_OPTIONS = (
    TableOption("items_key", "Column of items in the items' table.", default="as in the events"),
    TableOption("items_columns", "Names of the fields of an items' table without a header.", read=_names),
    TableOption("name_column", "Column of names in the items' table."),
    TableOption("value_separator", "What stands between several values of an item feature: '|'."),
)
TRAINING_OPTIONS = (
    TableOption("text_ids", "Keep ids as text, also where they are numbers.", bool, ("--text-ids",)),
    TableOption("drop_repeats", "Leave out repeats of the item before.", bool, ("--drop-repeats",)),
    TableOption("item_features", "Columns of the items' table to learn from, by commas: category,brand.", read=_names),
    TableOption("item_numbers", "Columns of the items' table that are numbers: price.", read=_names),
    TableOption("event_features", "Columns of the events that are read of past events alone: kind.", read=_names),
    TableOption("numbers", "Columns that are numbers of the request: age.", read=_names),
    *ITEM_OPTIONS,
)


# A table is prepared in pieces: the setting that needs all of it at once is not there, and that of items is read later.
PREPARED_OPTIONS = tuple(
    option
    for option in (*TABLE_OPTIONS, *TRAINING_OPTIONS)
    if not option.setting.startswith(("items_", "item_")) or option.setting == "item_column"
    if option.setting not in ("label", "name_column", "value_separator")
)


def with_options(*options: TableOption, of_a_run: bool = False) -> Callable[[Body], Body]:
    """Give a command `options`; its parameter `data` receives the settings that the user chose, by name.

    Args:
        of_a_run: options that are not given default to the run's settings.
    """

    def decorate(command: Body) -> Body:
        hints = get_type_hints(command, include_extras=True)
        own = [
            parameter.replace(annotation=hints[name], kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for name, parameter in inspect.signature(command).parameters.items()
            if name != "data"
        ]
        parameters = [*own, *(option.parameter("as in the run" if of_a_run else option.default) for option in options)]
        parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)

        @wraps(command)
        def run(**arguments: Any) -> None:
            values = {option: arguments.pop(option.setting) for option in options}
            command(**arguments, data=_changes(values))

        del run.__dict__["__wrapped__"]  # it has other parameters
        run.__dict__["__signature__"] = inspect.Signature(parameters)
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _changes(values: Mapping[TableOption, Any]) -> Changes:
    changes = {option.setting: option.read(value) for option, value in values.items() if value is not None}
    changes = {name: value for name, value in changes.items() if value is not None}
    for order in (name for name in ("file_order", "ragged") if changes.get(name)):
        if "time_column" in changes:
            raise InputError(f"--{order.replace('_', '-')} and --time-column contradict each other; leave one out")
    if changes.get("no_header") is False and changes.get("columns"):
        raise InputError("--header and --columns contradict each other; leave one out")
    if changes.get("no_header") is False:
        changes.setdefault("columns", ())
    return changes


def changed(data: DataConfig, changes: Changes) -> DataConfig:
    """Return `data` with `changes`; without its settings of times where the order of the file is chosen.

    Raises:
        InputError: they contradict each other.
    """
    values = {**data.model_dump(), **changes}
    if changes.get("file_order") or changes.get("ragged"):
        timed = ("time_column", "time_format", "split_at")
        values |= {name: changes.get(name, getattr(DEFAULTS, name)) for name in timed}
    return validated(DataConfig, values, "the options")
