"""Settings as a `train.toml`: read, and written with the meaning of each (`bst config`)."""

from __future__ import annotations

import json
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from bst.config import PRESETS, Architecture, Settings, Table, with_preset
from bst.errors import InputError
from bst.run.folder import RunConfig, read_run_config
from bst.system.files import read_text
from bst.system.validation import validated

WIDTH = 100  # of comments, in characters


def read_settings(path: Path) -> Settings:
    """Read a TOML file of settings.

    Raises:
        InputError: the file is missing, is not TOML, or holds a key or value that does not exist.
    """
    try:
        values = tomllib.loads(read_text(path))
    except OSError as error:
        raise InputError(f"cannot read the settings {path}: {error.strerror}; give the path of a TOML file") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}") from None
    return validated(Settings, values, str(path))


def config(
    source: Annotated[
        Path | None, typer.Argument(metavar="[SOURCE]", help="A run, or a TOML of settings.  [default: the defaults]")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"Settings of a model by name: {', '.join(PRESETS.names)}.")
    ] = None,
) -> None:
    """Print all settings as TOML, each with its meaning.

    The output can be edited and passed to `bst train`: bst config > train.toml; bst train ... --config train.toml
    """
    settings = Settings()
    if source is not None:
        settings = settings_of(read_run_config(source)) if source.is_dir() else read_settings(source)
    if preset is not None:
        settings = settings.model_copy(update={"model": with_preset(settings.model, preset)})
    print(settings_toml(settings), end="")


def settings_toml(settings: Settings) -> str:
    """Write `settings` as TOML that `read_settings` reads as the same value.

    A setting without a value is a comment: remove its `#` to set it.
    """
    lines = ["# Settings of `bst train EVENTS --config train.toml --out RUN`; each may be left out."]
    for name, table in settings:
        lines += ["", *_comment((table.__doc__ or "").partition("\n")[0]), f"[{name}]"]
        for key, value in table:
            lines += ["", *_comment(_meaning(type(table).model_fields[key])), _assignment(table, key, value)]
    return "\n".join(lines) + "\n"


def settings_of(stored: RunConfig) -> Settings:
    """Return the settings that a run was trained with."""
    sizes = {name: getattr(stored.model, name) for name in Architecture.model_fields}
    return Settings(model=Architecture(**sizes), training=stored.training, data=stored.data)


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(" ".join(text.split()), WIDTH - 2, break_on_hyphens=False):
        yield f"# {line}"


def _meaning(field: FieldInfo) -> str:
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return f"{field.description or ''}{' One of ' + ', '.join(choices) + '.' if choices else ''}"


def _assignment(table: Table, key: str, value: object) -> str:
    if value is not None:
        return f"{key} = {_toml(value)}"
    examples = type(table).model_fields[key].examples or [""]
    return f"# {key} = {_toml(examples[0])}"


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML wants this character escaped
