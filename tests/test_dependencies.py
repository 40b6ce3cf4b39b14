"""What is installed is what is locked, and docs/reference/dependencies.md tells its licences."""

import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from tools import licences

ROOT = Path(__file__).parents[1]
NAMES = ["requirements-torch.lock", "requirements.lock", "requirements-cuda.lock"]
LOCKS = "".join((ROOT / name).read_text() for name in NAMES)
of_make_install = pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="not what make install installed")


@pytest.fixture(scope="module")
def packages() -> list[licences.Package]:
    return [*licences.python_packages(), *licences.npm_packages()]


def test_constraints_are_the_versions_of_the_locks() -> None:
    versions = re.findall(r"^(\w.*?)(?: \\)?$", LOCKS, flags=re.MULTILINE)
    _, *constraints = (ROOT / "constraints.txt").read_text().splitlines()
    assert sorted(constraints) == sorted(versions)


@pytest.mark.parametrize("name", [*NAMES, "tools/requirements.lock"])
def test_every_locked_version_has_its_hashes_and_nothing_else(name: str) -> None:
    package = r"[\w-]+==[\w.]+(?: ; [^\\\n]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    assert re.fullmatch(rf"# [^\n]+\n(?:{package})+", (ROOT / name).read_text())


def test_torch_is_bounded_to_the_versions_whose_programs_are_known() -> None:
    """`export.guards.archives` refuses what programs of others may hold: a new version is tried before it is let in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (stated,) = [one for one in project["dependencies"] if one.startswith("torch>")]
    major, minor, _ = version("torch").split(".", 2)
    (locked,) = re.findall(r"^torch==(\d+)\.(\d+)", LOCKS, flags=re.MULTILINE)
    assert stated == f"torch>=2.11,<{locked[0]}.{int(locked[1]) + 1}"
    assert (2, 11) <= (int(major), int(minor)) <= (int(locked[0]), int(locked[1]))


@of_make_install
def test_what_is_installed_is_what_is_locked() -> None:
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", LOCKS, flags=re.MULTILINE))
    wanted = licences.names("demo") | licences.names("dev") | licences.names("docs")
    installed = {name: version(name).split("+")[0] for name in wanted}
    assert installed.items() <= locked.items()


@of_make_install
def test_the_page_tells_what_is_installed(packages: list[licences.Package]) -> None:
    _, tables = licences.PAGE.read_text().split(licences.TABLES)
    found = [row for row in tables.splitlines() if row.startswith("| ") and not row.startswith("| package")]
    assert found == [licences.row(one) for one in packages], "run make licences"


@of_make_install
def test_every_licence_will_do(packages: list[licences.Package]) -> None:
    assert [trouble for one in packages if (trouble := one.trouble())] == []


@pytest.mark.parametrize("stated", ["GPL-3.0-only", "MIT AND LGPL-2.1-or-later", "MPL-2.0", "LicenseRef-Proprietary"])
def test_another_licence_is_refused_at_run_time_and_not_for_development(stated: str) -> None:
    assert licences.Package("left", "1", stated, "base", True).trouble() == (
        f"left is under {stated}, which users of base would have to look at"
    )
    assert licences.Package("left", "1", stated, "dev", False).trouble() is None


def test_no_licence_is_refused_everywhere() -> None:
    trouble = licences.Package("left", "1", "", "dev", False).trouble()
    assert trouble == "left states no licence; read it and add it to READ in tools/licences.py"
