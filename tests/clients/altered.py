"""Bundles that are not what they were: what a fault or a forger may change, one thing at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def alter(bundle: Path, path: str, change: Callable[[bytes], bytes], *, sealed: bool = False) -> None:
    """Change a file of a bundle; `sealed` states the new hash in the manifest, as a forger would."""
    (bundle / path).write_bytes(change((bundle / path).read_bytes()))
    if sealed:
        manifest = json.loads((bundle / "manifest.json").read_text())
        (record,) = (one for one in manifest["files"] if one["path"] == path)
        record["bytes"] = (bundle / path).stat().st_size
        record["sha256"] = hashlib.sha256((bundle / path).read_bytes()).hexdigest()
        (bundle / "manifest.json").write_text(json.dumps(manifest))


def give_names(bundle: Path, names: list[str | None]) -> None:
    """Name the first items of a bundle, as if it had been exported so."""

    def add(content: bytes) -> bytes:
        vocabularies = json.loads(content)
        missing = len(vocabularies["items"]["ids"]) - len(names)
        vocabularies["items"]["names"] = [*names, *([None] * missing)]
        return json.dumps(vocabularies).encode()

    alter(bundle, "vocabulary.json", add, sealed=True)
    alter(bundle, "manifest.json", forged(lambda manifest: manifest["items"].update(named=True)))


def flip_in_the_middle(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


def raise_one_score(content: bytes) -> bytes:
    golden = json.loads(content)
    golden["cases"][3]["outputs"]["scores"][0][0] += 0.01
    return json.dumps(golden).encode()


def swap_the_best_two(content: bytes) -> bytes:
    golden = json.loads(content)
    ids = next(iter(golden["cases"][3]["outputs"].values()))
    ids[0][:2] = ids[0][1::-1]
    return json.dumps(golden).encode()


def add_a_user_to_one_input(content: bytes) -> bytes:
    golden = json.loads(content)
    golden["cases"][3]["inputs"]["region"] *= 2
    return json.dumps(golden).encode()


def forged(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        manifest = json.loads(content)
        change(manifest)
        return json.dumps(manifest).encode()

    return changed
