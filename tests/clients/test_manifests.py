"""Every client judges the manifests of tests/manifests as their folder says, and before it looks at any other file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from export.contract.manifest import manifest_schema
from tests.clients.conftest import CPP, EVERY, Client
from tests.manifests.write import HERE
from tools import client_schema

SOUND, SPOILT = (sorted((HERE / kind).glob("*.json")) for kind in ("sound", "spoilt"))


def some(client: Client, manifests: list[Path]) -> list[Path]:
    """All of them, but for Node, which takes a third of a second to start: the next test asks it for all in one go."""
    return manifests[::12] if client.name == "node" else manifests


@EVERY
def test_a_sound_manifest_is_read(client: Client, tmp_path: Path) -> None:
    """Then the files are looked at, which are all missing."""
    for manifest in some(client, SOUND):
        shutil.copy(manifest, tmp_path / "manifest.json")
        code, found, stderr = client("verify", tmp_path)
        assert (code, found["ok"], stderr.count("\n")) == (1, False, 1), manifest.stem
        assert "model.safetensors is missing" in stderr, manifest.stem


@EVERY
def test_a_spoilt_manifest_is_refused(client: Client, tmp_path: Path) -> None:
    for manifest in some(client, SPOILT):
        shutil.copy(manifest, tmp_path / "manifest.json")
        code, found, stderr = client("verify", tmp_path)
        assert (code, found, stderr.count("\n")) == (2, None, 1), manifest.stem
        assert stderr.startswith(f"error: {tmp_path}"), manifest.stem


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_javascript_judges_every_manifest_as_its_folder_says() -> None:
    judge = Path(__file__).parent / "js" / "judge.mjs"
    done = subprocess.run(["node", judge, *SOUND, *SPOILT], capture_output=True, text=True, check=True)
    expected = {path.name: path.parent.name for path in (*SOUND, *SPOILT)}
    assert dict(zip(expected, done.stdout.splitlines(), strict=True)) == expected


NAMES = {
    "CandidateFeature": "candidate_feature",
    "ExportSettings": "settings",
    "TopK": "top_k",
    "Signature": "signature",
    "TensorSpec": "tensor",
    "FormatRecord": "format",
    "Entry": "entry",
    "Needs": "needs",
    "BSTConfig": "model",
    "ContextFeature": "feature",
    "VocabularyFacts": "vocabulary",
    "OutputLayer": "output_layer",
    "TensorPlace": "place",
    "ShortlistRecord": "shortlist",
    "ScanRecord": "scan",
    "Tuning": "tuning",
    "SessionOptions": "options",
    "TuningRow": "tried",
    "Rates": "rates",
    "ParityRecord": "parity",
    "FileRecord": "file",
    "ItemFeature": "item_feature",
    "ItemNumber": "item_number",
    "ItemSequence": "sequence",
    "EventFeature": "event_feature",
    "Number": "request_number",
    "Quality": "quality",
    "OwnTopK": "own_top_k",
    "ClickQuality": "click_quality",
    "ClickNumbers": "clicks",
    "HistoryRecord": "computed",
}
TYPES = {"string": "text", "boolean": "flag"}


def type_of(schema: dict[str, Any]) -> Any:
    """A type of the JSON Schema in the words of the headers."""
    if "$ref" in schema:
        return NAMES[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return "|".join(type_of(one) for one in schema["anyOf"])
    if "enum" in schema:
        return "|".join(f"'{one}'" for one in schema["enum"])
    if "prefixItems" in schema:
        return [type_of(one) for one in schema["prefixItems"]]
    if schema["type"] == "array":
        return [type_of(schema["items"]), *([schema["minItems"]] if "minItems" in schema else [])]
    if schema["type"] == "object":
        return {"": type_of(schema["additionalProperties"])}
    if schema.get("pattern") == "^[0-9a-f]{64}$":
        return "sha256"
    bounds = (("minimum", ">="), ("exclusiveMinimum", ">"), ("exclusiveMaximum", "<"))
    told = "".join(f"{sign}{schema[bound]}" for bound, sign in bounds if bound in schema)
    return TYPES.get(schema["type"], schema["type"]) + told


def test_the_headers_know_the_fields_of_the_published_schema() -> None:
    header = (CPP / "include" / "bst" / "detail" / "schema.hpp").read_text()
    (table,) = re.findall(r'R"json\((.*?)\)json"', header, flags=re.DOTALL)
    found: dict[str, dict[str, Any]] = {}
    for kind, fields in json.loads(table).items():
        keys = {key.partition(" = ")[0]: (key.partition(" = ")[2], stated) for key, stated in fields.items()}
        found[kind] = {name: (json.loads(default or '"required"'), stated) for name, (default, stated) in keys.items()}
    published = manifest_schema()
    kinds = {"manifest": published} | {NAMES[name]: schema for name, schema in published["$defs"].items()}
    for kind, schema in kinds.items():
        required = schema.get("required", [])
        for name, stated in schema["properties"].items():
            default, of = found[kind].pop(name)
            assert of == type_of(stated), f"{kind}.{name}"
            assert (default == "required") == (name in required), f"{kind}.{name}"
            # Of an object that may be left out, all fields may be.
            assert default in ("required", {}) or default == stated["default"], f"{kind}.{name}"
    assert not any(found.values())
    assert found.keys() == kinds.keys()


def test_the_clients_in_javascript_hold_the_schema_of_the_manifest() -> None:
    assert client_schema.PAGE.read_text() == client_schema.written(), "run `make schema`"
