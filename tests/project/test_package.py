"""The package says one name and one version, wherever somebody may look."""

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

import bst

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NAME = PROJECT["project"]["name"]


def test_the_version_is_written_in_the_package_and_taken_from_there() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "bst.__version__"}
    assert str(Version(bst.__version__)) == bst.__version__


@pytest.mark.parametrize("package", ["core", "node", "web"])
def test_clients_in_javascript_have_the_version_of_the_package(package: str) -> None:
    stated = json.loads((ROOT / "clients" / "js" / package / "package.json").read_text())
    locked = json.loads((ROOT / "clients" / "js" / "package-lock.json").read_text())["packages"][package]
    assert stated["version"] == locked["version"] == bst.__version__
    for dependencies in (stated.get("dependencies", {}), locked.get("dependencies", {})):
        assert dependencies.get("@bst/core", bst.__version__) == bst.__version__


def test_the_client_in_cpp_has_the_version_of_the_package() -> None:
    (stated,) = re.findall(r"^project\(bst VERSION (\S+)", (ROOT / "clients/cpp/CMakeLists.txt").read_text(), re.M)
    assert stated == bst.__version__


def test_the_name_on_the_index_is_not_that_of_somebody_else() -> None:
    """`bst` on PyPI is a binary search tree: whoever installs it by that name gets another program."""
    assert canonicalize_name(NAME) == NAME != "bst"
    extras = PROJECT["project"]["optional-dependencies"]
    own = {one.split("[")[0] for wanted in extras.values() for one in wanted if re.match(r"bst\b", one)}
    assert own == {NAME}


def test_make_installs_the_wheel_by_its_name_where_there_is_no_network() -> None:
    (line,) = [one for one in (ROOT / "Makefile").read_text().splitlines() if "--find-links wheels" in one]
    assert re.search(rf"--find-links wheels {NAME}\b", line)


def test_the_citation_is_of_this_version_and_names_the_paper() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert citation.startswith("cff-version: 1.2.0\n")
    assert f"\nversion: {bst.__version__}\n" in citation
    assert f"\ntitle: {NAME}\n" in citation
    assert 'value: "arXiv:1905.06874"' in citation


def test_the_changelog_begins_with_this_version_and_goes_back_in_time() -> None:
    heads = re.findall(r"^## (\d+\.\d+\.\d+) \((.*?)\)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    versions = [Version(version) for version, _ in heads]
    assert str(versions[0]) == bst.__version__
    assert versions == sorted(versions, reverse=True)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for _, date in heads[1:])


def test_the_sdist_holds_every_file_and_folder_at_the_top_of_the_project() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = {name for name in listed.splitlines() if "/" not in name}
    folders = {name.split("/")[0] for name in listed.splitlines() if "/" in name}
    lines = [line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines()]
    included = [pattern for kind, *patterns in lines if kind == "include" for pattern in patterns]
    grafted = {folder for kind, *named in lines if kind == "graft" for folder in named}
    by_itself = {"pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", ".gitignore"}
    missing = {name for name in files - by_itself if not any(fnmatch(name, pattern) for pattern in included)}
    assert missing == set()
    assert folders - grafted == {"bst", "export", "bench", ".ci"}
