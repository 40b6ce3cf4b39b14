"""The pages of `docs/reference/` that are made from the code: settings, commands and errors.

    python -m tools.reference    # writes the three; `make docs` and `make schema` do it too

`tests/test_docs.py` holds the written pages to what this makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from bst import Settings
from bst.cli import ORDER, build_app
from bst.settings_file import settings_toml
from tests.reliability.doors.bad_input import read_page

ABOUT_SETTINGS = """\
`bst config > train.toml` writes all settings with their defaults, and `bst config RUN` those of a run. Such a file goes
to `bst train --config train.toml`, whole or in part. Unknown settings are refused. Many have an option too
([commands](commands.md#bst-train)), and the option overrides the file."""
ABOUT_COMMANDS = """\
Every command has `-h`. Exit codes: 0 done; 1 a check failed (numbers differ, a file was altered); 2 bad input, with one
line on stderr. [Errors](errors.md) lists the messages. `bst --install-completion` lets the shell complete commands and
options."""
ABOUT_ERRORS = """\
A command that cannot do its work prints one line: `error: ` and the message. The message gives the value that is wrong,
then the remedy. Nothing is left half-written. From Python the same message comes as `bst.InputError` (exit code 2) or
`bst.CheckError` (exit code 1).

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a check failed: numbers differ, or a file was altered |
| 2 | bad input or an unknown option |
| 130, 143 | ended by Ctrl-C, by SIGTERM |

The tables have one row for each kind of message, with a value as an example. They come from the tests: the file
`tests/reliability/doors/bad_input.md` also has the calls. `...` stands for any text. What may be wrong with a table of
events has [a page of its own](tables.md#refused)."""
FOLDER = Path(__file__).parents[1] / "docs" / "reference"
MADE = "<!-- Made by `python -m tools.reference`: change the code, not this page. -->"
VALUES = re.compile(r"'[^']*'|\d[\d,.]*|\b[A-Z_]{3,}\S*|\S+\.\w+|/dev/\S+")  # what differs in messages of one kind
# Not for this page: unknown options, several problems in one line, no remedy that is the same each time, odd names.
LEFT_OUT = re.compile(r"\(see --help\)|problems: |; (\.\.\.|[\w/]+\.\w+)[^;]*$|\\u|^the run \. |LOOP")


def settings_page() -> str:
    """Write each setting with its default and its meaning, a table a section."""
    lines = [
        "# Settings",
        MADE,
        ABOUT_SETTINGS,
    ]
    for heading, meaning, rows in _sections():
        lines += [f"## [{heading}]", meaning, "| setting | default | meaning |\n|---|---|---|"]
        for name, default, text in rows:
            lines[-1] += f"\n| `{name}` | {default} | {_cell(text)} |"
    return "\n\n".join(lines) + "\n"


def _sections() -> Iterator[tuple[str, str, list[tuple[str, str, str]]]]:
    """Read the TOML of `bst config`: name and meaning of each table, and name, default and meaning of its settings."""
    section: tuple[str, str, list[tuple[str, str, str]]] | None = None
    for block in settings_toml(Settings()).split("\n\n")[1:]:
        *comments, last = block.splitlines()
        meaning = " ".join(line.removeprefix("# ") for line in comments)
        if last.startswith("["):
            if section:
                yield section
            section = (last.strip("[]"), meaning, [])
        elif section:
            name, _, value = last.removeprefix("# ").partition(" = ")
            shown = f"unset; such as `{value}`" if last.startswith("# ") else f"`{value}`"
            section[2].append((name, _cell(shown), meaning))
    if section:
        yield section


def commands_page() -> str:
    """Write the help of each command, with its arguments and options in tables."""
    group = build_app()
    root = typer.Context(group, info_name="bst")
    lines = ["# Commands", MADE, f"```\n{_usage(group, root)}\n```", "| command | what it does |\n|---|---|"]
    commands = {name: group.commands[name] for name in ORDER}
    for name, command in commands.items():
        lines[-1] += f"\n| [{name}](#bst-{name}) | {_cell(_paragraphs(command)[0])} |"
    lines.append(ABOUT_COMMANDS)
    for name, command in commands.items():
        context = typer.Context(command, info_name=name, parent=root)
        lines += [f"## bst {name}", *_paragraphs(command), f"```\n{_usage(command, context)}\n```"]
        for heading, records in _parameters(command, context).items():
            rows = "".join(f"\n| `{_cell(names)}` | {_cell(text)} |" for names, text in records)
            lines.append(f"| {heading.lower()} | meaning |\n|---|---|{rows}")
    return "\n\n".join(lines) + "\n"


def _paragraphs(command: Any) -> list[str]:
    return [" ".join(part.split()) for part in str(command.help).split("\n\n")]


def _usage(command: Any, context: Any) -> str:
    pieces = command.collect_usage_pieces(context)
    return " ".join([context.command_path, *pieces])


def _parameters(command: Any, context: Any) -> dict[str, list[tuple[str, str]]]:
    """Group the help of each parameter by its heading; `-h` is left out."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            other = "Arguments" if parameter.param_type_name == "argument" else "Options"
            names, text = record
            sections.setdefault(getattr(parameter, "rich_help_panel", None) or other, []).append((names, text))
    return sections


def errors_page() -> str:
    """Write a table of messages for each command, out of those that the tests of bad input ask for."""
    lines = [
        "# Errors",
        MADE,
        ABOUT_ERRORS,
    ]
    for section, messages in _messages().items():
        rows = "".join(f"\n| {_code(cause)} | {_code(remedy)} |" for cause, remedy in messages)
        lines += [f"## {section}", f"| what is wrong | what to do |\n|---|---|{rows}"]
    return "\n\n".join(lines) + "\n"


def _messages() -> dict[str, list[tuple[str, str]]]:
    """Take each kind of message with a remedy once, by the command that gives it: what is wrong, and what to do."""
    sections: dict[str, list[tuple[str, str]]] = {}
    kinds: set[str] = set()
    for row in read_page().rows:
        cause, semicolon, remedy = row.came_back.rpartition("; ")
        kind = VALUES.sub("", row.came_back)
        is_error = row.door in ("Commands", "Clients") and row.ends in ("1", "2")
        if is_error and semicolon and kind not in kinds and not LEFT_OUT.search(row.came_back):
            kinds.add(kind)
            sections.setdefault(row.section, []).append((cause, remedy))
    return sections


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    blank = " " if "`" in text else ""
    return _cell(f"{fence}{blank}{text}{blank}{fence}")


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


PAGES = {"settings.md": settings_page, "commands.md": commands_page, "errors.md": errors_page}


def main() -> None:
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
