"""Words and Flesch reading ease of the README and the pages in `docs/`, a line a page and in total.

    python tools/readability.py                 # the files as they are
    python tools/readability.py --at REVISION   # the same of an older revision

Reading ease is 206.835 - 1.015 words a sentence - 84.6 syllables a word (Flesch, 1948): 60 and more is plain English,
30 and less is hard. Code blocks, tables, headings and the targets of links are left out. The column `all` counts what
they hold too, as `wc -w` does.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs")
LEFT_OUT = re.compile(r"^```.*?^```|^<!--.*?-->|^\s*\|.*?$|^#.*?$|^:::.*?$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
BLOCK = re.compile(r"\n\s*\n|\n\s*(?:[*-]|\d+\.)\s")
SENTENCE = re.compile(r"[.!?]+(?=[\s\"')*]|$)")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
VOWELS = re.compile(r"[aeiouy]+")
SILENT = re.compile(r"(?:[^laeiouycgsxzh]es|[^aeiouydt]ed|[^laeiouy]e)$")


@dataclass(frozen=True)
class Counts:
    """Numbers of words, sentences and syllables of prose, and of `all` words of the file."""

    words: int = 0
    sentences: int = 0
    syllables: int = 0
    all: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.words + other.words,
            self.sentences + other.sentences,
            self.syllables + other.syllables,
            self.all + other.all,
        )

    @property
    def reading_ease(self) -> float:
        """Flesch reading ease; 0 for a page without prose."""
        if not self.words:
            return 0.0
        return 206.835 - 1.015 * self.words / self.sentences - 84.6 * self.syllables / self.words


def counts(page: str) -> Counts:
    """Count the prose of a page in Markdown; a paragraph or an item of a list ends a sentence."""
    prose = LINK.sub(r"\1", LEFT_OUT.sub("\n", page)).replace("`", "")
    sentences = [part for block in BLOCK.split(prose) for part in SENTENCE.split(block)]
    words = [WORD.findall(sentence.lower()) for sentence in sentences]
    syllables = sum(count_syllables(word) for sentence in words for word in sentence)
    return Counts(sum(map(len, words)), sum(map(bool, words)), syllables, len(page.split()))


def count_syllables(word: str) -> int:
    """Estimate the syllables of an English word in lower case: groups of vowels, without a silent ending."""
    return max(1, len(VOWELS.findall(word)) - bool(SILENT.search(word)))


def pages(revision: str | None) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each page, of the files as they are or of a revision of git."""
    if revision is None:
        paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
        yield from ((path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths)
        return
    for name in _git("ls-tree", "-r", "--name-only", revision, *PAGES).splitlines():
        if name.endswith(".md"):
            yield name, _git("show", f"{revision}:{name}")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--at", metavar="REVISION", help="read the pages of this revision of git")
    total = Counts()
    print(f"{'page':38}{'all':>8}{'words':>8}{'reading ease':>14}")
    for name, text in pages(parser.parse_args().at):
        page = counts(text)
        total += page
        print(f"{name:38}{page.all:8,}{page.words:8,}{page.reading_ease:14.1f}")
    print(f"{'total':38}{total.all:8,}{total.words:8,}{total.reading_ease:14.1f}")


if __name__ == "__main__":
    main()
