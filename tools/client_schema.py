"""The JSON Schema of the manifest for the clients in JavaScript: without the descriptions for people.

python -m tools.client_schema
"""

import json
from pathlib import Path
from typing import Any

from export.contract.manifest import manifest_schema

PAGE = Path(__file__).parents[1] / "clients" / "js" / "core" / "manifest" / "schema.mjs"
HEAD = """// @ts-check
/** The JSON Schema of `manifest.json`, a definition a line. Written by `make schema`. */

"""


def bare(value: Any, *, named: bool = False) -> Any:
    """Leave out titles and descriptions; `named`: the keys of `value` are names of fields."""
    if isinstance(value, list):
        return [bare(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: part for key, part in value.items() if named or key not in ("title", "description", "$schema")}
    return {key: bare(part, named=key in ("properties", "$defs") and not named) for key, part in kept.items()}


def written() -> str:
    schema = bare(manifest_schema())
    definitions = schema.pop("$defs")
    lines = "".join(f"  {name}: {json.dumps(definition)},\n" for name, definition in definitions.items())
    return f"{HEAD}export const DEFINITIONS = {{\n{lines}}};\n\nexport const MANIFEST = {json.dumps(schema)};\n"


if __name__ == "__main__":
    PAGE.write_text(written())
