"""The manifest has a published schema, and every bundle fits it."""

import json
from pathlib import Path

import jsonschema
import pytest

from export import Manifest
from export.contract.manifest import manifest_schema

PUBLISHED = Path(__file__).parents[3] / "docs" / "reference" / "manifest.schema.json"
each_variant = pytest.mark.parametrize("variant", ["raw_ids", "text_ids", "numbers_k_input", "index_no_context"])


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads(PUBLISHED.read_text()) == manifest_schema(), "run `make schema`"


@each_variant
def test_every_bundle_fits_the_published_schema(variants: dict[str, Path], variant: str) -> None:
    schema = json.loads(PUBLISHED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads((variants[variant] / "manifest.json").read_text()), schema)


def test_the_schema_refuses_what_is_no_manifest(bundle_path: Path) -> None:
    manifest = json.loads((bundle_path / "manifest.json").read_text())
    schema = json.loads(PUBLISHED.read_text())
    jsonschema.validate({**manifest, "stranger": 1}, schema)
    for change in ({"schema_version": "5.0"}, {"schema_version": 4}, {"signatures": "all"}):
        with pytest.raises(jsonschema.ValidationError, match="|".join(change)):
            jsonschema.validate({**manifest, **change}, schema)


@each_variant
def test_entries_and_golden_folders_lead_to_files(variants: dict[str, Path], variant: str) -> None:
    manifest = Manifest.model_validate_json((variants[variant] / "manifest.json").read_text(), strict=False)
    files = {record.path for record in manifest.files}
    for record in manifest.formats:
        assert {entry.path for entry in record.entries.values()} <= files
        assert {f"{record.golden}/{name}.json" for name in record.entries} <= files
