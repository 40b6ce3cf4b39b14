"""The pages hold: links and anchors lead somewhere, names exist, made pages are current, and the site builds."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from bench.report import columns
from bst.cli import build_app
from export.contract.manifest import PARITY_HEADS
from tools import readability, reference

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[`$(]|-m |\.venv/bin/)\s*(bst(?: [^`\n|#)]*)?)", re.MULTILINE)
OF_OTHERS = {
    "--backend-config",
    "--calls",
    "--find-links",
    "--master-addr",
    "--master-port",
    "--nnodes",
    "--node-rank",
    "--nproc-per-node",
    "--seconds",
}  # options of other programs
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts and mkdocs make them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@named
def test_every_link_and_anchor_of_a_page_leads_somewhere(page: Path) -> None:
    broken = []
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", FENCE.sub("", page.read_text())):
        path = page.parent / target if target else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(f"{target}#{anchor}")
    assert broken == []


def test_every_page_is_in_the_navigation() -> None:
    shown = re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    outside = [path for path in ROOT.glob("clients/**/README.md") if "node_modules" not in path.parts]
    pages = [page.relative_to(DOCS) for page in PAGES[1:]] + [path.relative_to(ROOT) for path in outside]
    assert sorted(shown) == sorted(page.as_posix() for page in pages)


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_made_page_is_current(name: str) -> None:
    assert (DOCS / "reference" / name).read_text() == reference.PAGES[name](), "run python -m tools.reference"


@pytest.mark.parametrize("package", ["bst", "export", "bench"])
def test_the_page_on_python_lists_the_public_names(package: str) -> None:
    listed = re.findall(rf"^::: {package}\.(\w+)$", (DOCS / "reference" / "python.md").read_text(), flags=re.MULTILINE)
    public = set(importlib.import_module(package).__all__) - {"__version__"}
    assert sorted(listed) == sorted(public)


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options of each command, `-h` among them."""
    group = build_app()
    return {name: options_of(group.commands[name]) | {"--help", "-h"} for name in group.commands}


def options_of(command: Any) -> set[str]:
    parameters = command.get_params(typer.Context(command))
    return {option for one in parameters for option in (*one.opts, *one.secondary_opts) if option.startswith("-")}


@named
def test_the_commands_that_a_page_names_exist(page: Path, options: dict[str, set[str]]) -> None:
    unknown = []
    for call in COMMAND.findall(page.read_text()):
        _, *words = call.split()
        if words and re.fullmatch(r"[a-z-]+", words[0]) and not words[0].startswith("-"):
            known = options.get(words[0], set())
            used = {re.split(r"[=,;]", word)[0] for word in words if re.match(r"--?[a-z]", word)}
            unknown += [f"bst {words[0]}"] * (words[0] not in options) + sorted(used - known)
    assert unknown == []


@named
def test_the_options_that_a_page_names_exist(page: Path, options: dict[str, set[str]]) -> None:
    """Options that stand alone in a sentence, as `--golden none` does."""
    used = re.findall(r"`(--[a-z][a-z-]*)", FENCE.sub("", page.read_text()))
    assert sorted(set(used) - OF_OTHERS.union(*options.values())) == []


def test_training_from_lists_runs_as_shown() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "guides" / "training.md").read_text(), flags=re.DOTALL)
    *statements, last = block.strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(statements), names)
    assert f"scores {list(eval(last.split('#')[0], names).shape)}" in last


def explained(page: str) -> set[str]:
    """The words in code in the first cells of a page's tables."""
    rows = re.findall(r"^\| (`.*?) \|", (DOCS / page).read_text(), flags=re.MULTILINE)
    return {word for row in rows for word in row.split("`")[1::2]}


def test_every_column_of_a_bench_is_explained() -> None:
    tables = (columns.LATENCY, columns.LOAD, columns.LIMITS, columns.COLD, columns.SOAK, columns.SURFACE)
    page = (*tables, columns.ANSWER, columns.TAIL)
    heads = {column.head for table in page for column in table if column.head}
    assert sorted(heads - explained("guides/reading-a-bench.md") - {"verdict"}) == []


def test_every_column_of_an_export_is_explained() -> None:
    assert sorted(set(PARITY_HEADS) - explained("explanation/parity.md")) == []


def test_the_site_builds_without_a_warning_and_asks_no_other_host(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install '.[docs]'")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    result = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, env={"NO_MKDOCS_2_WARNING": "1"})
    assert result.returncode == 0, result.stderr
    pages = [path for path in (tmp_path / "site").rglob("*") if path.suffix in (".html", ".css")]
    loaded = re.compile(
        r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*\"|url\(\"?(?:https?:)?//[^)]*\)"
    )
    assert len(pages) > 30
    assert {str(path): found for path in pages if (found := loaded.findall(path.read_text()))} == {}


def test_short_words_and_sentences_read_easily() -> None:
    easy = readability.counts("The cat sat. It saw a dog.\n\n```\ncode is left out\n```\n")
    hard = readability.counts(
        "Heterogeneous characterisations necessitate considerable interdisciplinary deliberation."
    )
    assert (easy.words, easy.sentences, easy.syllables) == (7, 2, 7)
    assert easy.reading_ease > 100 > 0 > hard.reading_ease


def test_tables_headings_and_targets_of_links_are_no_prose() -> None:
    page = "# A head\n\n| a | b |\n|---|---|\n\nSee [the page](some/long/path.md) now.\n\n* One item\n* Two items\n"
    assert (readability.counts(page).words, readability.counts(page).sentences) == (8, 3)
