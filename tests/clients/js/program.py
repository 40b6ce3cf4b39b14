"""A program in JavaScript that a test writes and runs."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.clients.conftest import JAVASCRIPT

# A bundle `known`, of a manifest and golden calls (both texts) and vocabularies, and `tensorsOf` users; no runtime.
BUNDLE = """
    import { InputError, Vocabulary, bench, readManifest } from "JS/core/index.mjs";
    import { userInputs } from "JS/core/inputs.mjs";
    import { checkInputs } from "JS/core/tensors.mjs";
    const { manifest, golden, vocabularies, calls } = JSON.parse(await new Response(process.stdin).text());
    const contents = { "manifest.json": manifest, "golden/top_k.json": golden };
    const source = {
      name: "bundle",
      digest: async () => ({ bytes: 0, sha256: "" }),
      read: async (path) => new TextEncoder().encode(contents[path]),
    };
    const table = (group) =>
      Object.fromEntries(Object.entries(group).map(([name, one]) => [name, new Vocabulary(one)]));
    const known = {
      source,
      manifest: await readManifest(source),
      vocabularies: {
        items: new Vocabulary(vocabularies.items),
        context: table(vocabularies.context),
        events: table(vocabularies.events),
      },
    };
    const [signature] = known.manifest.signatures;
    const tensorsOf = (users) => {
      const inputs = userInputs(known, signature, users);
      checkInputs(signature, inputs);
      return Object.fromEntries(Object.entries(inputs).map(
        ([name, { dtype, dims, data }]) => [name, { dtype, dims, data: [...data].map(String) }]));
    };
"""


def javascript(program: str, values: object) -> Any:
    """Run a module that reads `values` from its input and prints JSON; `JS/` in it is the folder of the packages."""
    source = program.replace("JS/", f"{JAVASCRIPT.as_uri()}/")
    command = ["node", "--input-type=module", "--eval", source]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
