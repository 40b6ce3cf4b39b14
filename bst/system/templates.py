"""Text from templates (jinja2) that lie beside the code that fills them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render(template: Path, **values: Any) -> str:
    """Fill a template; in one whose name holds `.html`, values are escaped.

    Raises:
        jinja2.UndefinedError: the template names what is not among `values`.
    """
    return _environment(template).get_template(template.name).render(**values)


def macros(template: Path) -> Any:
    """Return the macros of a template as functions, by name; see `render`."""
    return _environment(template).get_template(template.name).module


def _environment(template: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        autoescape=".html" in template.name,
        trim_blocks=True,
        lstrip_blocks=True,
    )
