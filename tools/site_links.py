"""The hook of mkdocs that lets one relative link work on a code host and in the site.

The READMEs of the clients lie outside `docs/` and become pages of the site. A link between them and `docs/` is written
for the files as they lie in the repository; here it is turned to where the page lies in the site. What is no page, such
as a folder of sources, is named without a link.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?P<text>!?\[[^\]]*\])\((?P<target>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")


def outside() -> list[Path]:
    """The READMEs outside `docs/` that are pages of the site."""
    return sorted(path for path in (ROOT / "clients").rglob("README.md") if "node_modules" not in path.parts)


def place_in_site(path: Path) -> str | None:
    """Return where a file of the repository lies in the site, relative to its root; None if it is not there."""
    if path.is_file() and path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    return path.relative_to(ROOT).as_posix() if path in outside() else None


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that lie outside `docs/`."""
    for path in outside():
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn the relative links of a page to where their targets lie in the site."""
    source = Path(page.file.abs_src_path)
    here = (place_in_site(source) or page.file.src_uri).rpartition("/")[0]

    def turned(link: re.Match[str]) -> str:
        path = Path(os.path.normpath(source.parent / link["target"]))
        if not path.exists():
            return link[0]  # mkdocs reports it
        place = place_in_site(path / "README.md" if path.is_dir() else path)
        if place is None:
            return link["text"].strip("[]") if not link["text"].startswith("!") else ""
        return f"{link['text']}({os.path.relpath(place, here or '.')}{link['anchor'] or ''})"

    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(turned, part) for part in parts)
