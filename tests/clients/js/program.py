"""A program in JavaScript that a test writes and runs."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.clients.conftest import JAVASCRIPT


def javascript(program: str, values: object) -> Any:
    """Run a module that reads `values` from its input and prints JSON; `JS/` in it is the folder of the packages."""
    source = program.replace("JS/", f"{JAVASCRIPT.as_uri()}/")
    command = ["node", "--input-type=module", "--eval", source]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
