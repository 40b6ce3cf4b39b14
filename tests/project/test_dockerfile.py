"""The Dockerfile as text: what it copies is there, what it installs is what was tested, and nothing runs as root."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))


def instructions() -> list[list[tuple[str, str]]]:
    """List the instructions of each stage, as name and the rest."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    pairs = [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]
    starts = [place for place, (name, _) in enumerate(pairs) if name == "FROM"]
    return [pairs[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


BUILD, FINAL = instructions()


def copied(stage: list[tuple[str, str]]) -> list[str]:
    """What a stage copies from the clone."""
    lines = [rest.split() for name, rest in stage if name == "COPY" and not rest.startswith("--from")]
    return [source for *sources, _ in lines for source in sources]


def commands(stage: list[tuple[str, str]]) -> list[str]:
    return [command.strip() for name, rest in stage if name == "RUN" for command in rest.split("&&")]


def test_what_is_copied_is_there_and_let_into_the_build() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = {*copied(BUILD), *copied(FINAL)}
    assert {source for source in sources if not (ROOT / source).exists()} == set()
    assert sources == let_in


def test_every_package_of_the_wheel_is_copied() -> None:
    patterns = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {pattern.removesuffix("*") for pattern in patterns} <= set(copied(BUILD))


def test_both_stages_have_one_python_that_the_project_supports() -> None:
    images = {rest.split()[0] for stage in (BUILD, FINAL) for name, rest in stage if name == "FROM"}
    (version,) = re.findall(r"^python:(3\.\d+)-slim$", "\n".join(images))
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(version)


def test_everything_is_installed_with_the_tested_versions() -> None:
    installs = [command for command in commands(BUILD) + commands(FINAL) if command.startswith("pip install")]
    assert len(installs) == 3
    assert [command for command in installs if not re.search(r"--constraint \S*constraints\.txt", command)] == []
    wanted = [Requirement(line) for line in (*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"])]
    assert [one.name for one in wanted if not one.specifier.contains(CONSTRAINTS[one.name])] == []


def test_torch_comes_first_and_from_the_index_of_cpu_builds() -> None:
    torch, wheel, *_ = (command for command in commands(FINAL) if command.startswith("pip install"))
    assert torch.endswith(" torch")
    assert '--index-url "$TORCH_INDEX"' in torch
    assert wheel.endswith(".whl")
    assert ("ARG", "TORCH_INDEX=https://download.pytorch.org/whl/cpu") in FINAL


def test_the_wheel_comes_from_the_first_stage() -> None:
    name = dict(BUILD)["FROM"].split(" AS ")[1]
    assert any(rest.startswith(f"--from={name} /wheels ") for instruction, rest in FINAL if instruction == "COPY")
    assert any("--wheel-dir /wheels" in command for command in commands(BUILD))


def test_the_command_runs_as_a_user_that_is_made_here() -> None:
    (user,) = [rest for name, rest in FINAL if name == "USER"]
    assert user not in ("root", "0")
    assert any(command.startswith("useradd") and command.endswith(f" {user}") for command in commands(FINAL))
    names = [name for name, _ in FINAL]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "RUN")
    assert json.loads(dict(FINAL)["ENTRYPOINT"])[0] in PROJECT["project"]["scripts"]


@pytest.mark.slow
def test_what_is_copied_builds_the_whole_wheel(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *copied(BUILD)], cwd=ROOT, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "wheels", "."]
    subprocess.run(pip, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "wheels").iterdir()
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == {name for name in listed.stdout.splitlines() if "/" in name}
