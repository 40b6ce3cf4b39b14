"""The model card: the `README.md` inside a bundle, for readers who have only the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bst.data.vocabulary import Vocabularies
from bst.errors import InputError
from bst.system.templates import render
from export.contract.manifest import PARITY_HEADS, Description
from export.contract.recordings import RECORDINGS
from export.formats import FORMATS
from export.handout.snippets import Program, write_snippet

CARD = Path(__file__).parent / "templates" / "card.md.jinja"


def write_card(folder: Path, manifest: Description, vocabularies: Vocabularies) -> None:
    """Write `README.md` into `folder`: the model's inputs and outputs, programs that call it, and the parity of the
    formats.

    Raises:
        InputError: SOURCE_DATE_EPOCH is set, and is no date.
    """
    text = render(
        CARD,
        manifest=manifest,
        recording=RECORDINGS.find(manifest.settings.golden),
        date=_date(),
        model=manifest.model,
        padding=manifest.items.padding if manifest.ids == "raw" else 0,
        signatures=[signature for signature in manifest.signatures if signature.ids == manifest.ids],
        texts={facts.dtype for facts in (manifest.items, *manifest.context.values(), *manifest.events.values())},
        programs=list(_programs(manifest, vocabularies)),
        heads=PARITY_HEADS,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")


def _programs(manifest: Description, vocabularies: Vocabularies) -> Iterator[Program]:
    for record in manifest.formats:
        signature = manifest.main_signature(record.ids)
        for snippet in FORMATS.find(record.name).snippets:
            yield write_snippet(snippet, signature, vocabularies, manifest)


def _date() -> str:
    """Return the day of the export in UTC, or that of SOURCE_DATE_EPOCH, with which builds give the same bytes on
    any day.
    """
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if not seconds:
        return datetime.now(UTC).date().isoformat()
    try:
        return datetime.fromtimestamp(int(seconds), UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        raise InputError(f"SOURCE_DATE_EPOCH={seconds!r} is no date; give seconds since 1970, or unset it") from None
