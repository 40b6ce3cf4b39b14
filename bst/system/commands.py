"""Subcommands that are loaded on first use, and help with options under headings, on top of typer."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

# Headings of more than one command.
INPUT, MODEL, OUTPUT, OPTIONS = "Input", "Model and training", "Output", "Options"


class Completion(NamedTuple):
    """A word that a shell may complete to, as typer reads it."""

    value: str
    type: str = "plain"
    help: str | None = None


class Command(TyperCommand):
    """A command whose help shows each parameter under its `rich_help_panel`, as plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            line = parameter.get_help_record(ctx)
            if line is not None:
                other = "Arguments" if parameter.param_type_name == "argument" else OPTIONS
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or other, []).append(line)
        for heading in sorted(sections, key=OPTIONS.__eq__):  # `--help` and its like last
            with formatter.section(heading):
                formatter.write_dl(sections[heading])


class Commands(UserDict[str, Any]):
    """Commands by name; each is an entry point until it is looked up, because some load libraries for seconds."""

    def __getitem__(self, name: str) -> Any:
        command = self.data[name]
        if isinstance(command, EntryPoint):
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
            alone.command(name, cls=Command)(command.load())
            command = self.data[name] = typer.main.get_command(alone)
        return command


class Group(TyperGroup):
    """A group whose names are listed and completed without loading a command; its help loads them all."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        names = [Completion(name) for name in self.commands if name.startswith(incomplete)]
        return [*names, *super(TyperGroup, self).shell_complete(ctx, incomplete)]


def build_group(root: Any, points: Iterable[EntryPoint], *, name: str, help: str) -> Group:
    """Make a command of `root`, the function that runs before every subcommand, and of the entry points `points`."""
    app = typer.Typer(
        name=name,
        cls=Group,
        help=help,
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback(invoke_without_command=True)(root)
    group = typer.main.get_command(app)
    assert isinstance(group, Group)
    group.commands = Commands({point.name: point for point in points})
    return group
