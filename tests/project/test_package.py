"""The package says one name and one version, wherever somebody may look."""

import json
import re
import tomllib
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
