"""What pages show runs as it stands, and what they point to is there."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

import bst
from bst import Settings, TrainConfig, read_settings
from export import ExportSettings
from tests.conftest import TINY, write_events
from tests.project.test_package import NAME

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("clients/*.md")]
PAGES += [*ROOT.glob("clients/*/*.md"), ROOT / "clients" / "js" / "web" / "README.md"]
LONGEST = 900  # words of the README
# Where a number of the README was measured: the page of its row has it, too.
NUMBERS = {"quality": "0.1886", "training": "1.22", "export": "6.7e-07", "top_k": "6,352"}


def blocks(language: str, *pages: Path) -> list[str]:
    """List what stands in fences of that language."""
    texts = "\n".join(page.read_text() for page in pages)
    return re.findall(rf"```{language}\n(.*?)```", texts, flags=re.DOTALL)


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(README.split()) <= LONGEST


def test_the_first_commands_are_those_that_a_clean_clone_runs() -> None:
    commands = [line.split("#")[0].strip() for line in blocks("sh", ROOT / "README.md")[0].splitlines()]
    assert commands == ["make demo", "make test"]
    assert "make test\n" in (ROOT / ".ci" / "run").read_text()


def test_the_wheel_is_installed_by_the_line_that_make_package_prints() -> None:
    _, install, *_ = blocks("sh", ROOT / "README.md")
    wheel = f"dist/{NAME.replace('-', '_')}-{bst.__version__}-py3-none-any.whl"
    assert install.splitlines() == ["make package", f"pip install -c constraints.txt {wheel}"]
    recipe = (ROOT / "Makefile").read_text().split("\npackage: ")[1].split("\n\n")[0]
    assert "echo pip install -c constraints.txt dist/*.whl" in recipe
    (torch_version,) = re.findall(r"pip install torch==(\S+) --index-url https://download.pytorch.org/whl/cpu", README)
    assert f"\ntorch=={torch_version}\n" in (ROOT / "constraints.txt").read_text()


def walked(folder: Path, *command: str) -> list[str]:
    """Run a program of the README in a folder that holds the reader's table alone: the lines that it printed."""
    write_events(folder / "events.csv")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.bundle
def test_the_program_of_the_readme_recommends_from_a_table_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a tiny model and a signature: as it stands, it takes half a minute."""
    (program,) = blocks("python", ROOT / "README.md")
    write_events(tmp_path / "events.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bst.Settings", partial(Settings, model=TINY, training=TrainConfig(epochs=1)))
    monkeypatch.setattr("export.ExportSettings", partial(ExportSettings, signatures=("top_k",)))
    exec(program, {})
    require_recommended(tmp_path, capsys.readouterr().out)


@pytest.mark.slow
def test_the_program_of_the_readme_runs_as_it_stands_in_a_process_of_its_own(tmp_path: Path) -> None:
    (program,) = blocks("python", ROOT / "README.md")
    (tmp_path / "program.py").write_text(program)
    (printed,) = walked(tmp_path, "python", "program.py")
    require_recommended(tmp_path, printed)


def require_recommended(folder: Path, printed: str) -> None:
    recommended = [int(item) for item in printed.strip("()\n").split(",")]
    assert len(set(recommended)) == 5
    assert {f",{item}," for item in recommended} <= set(re.findall(r",\d+,", (folder / "events.csv").read_text()))


@pytest.mark.slow
def test_the_commands_of_the_readme_recommend_from_a_table_of_ones_own(tmp_path: Path) -> None:
    (commands,) = [block for block in blocks("sh", ROOT / "README.md") if "bst train" in block]
    lines = walked(tmp_path, "sh", "-e", "-c", commands)
    places = [re.match(r" *(\d+) {2}\d+ +-?\d+\.\d{4}$", line) for line in lines[-10:]]
    assert [place and int(place[1]) for place in places] == list(range(1, 11))
    assert (tmp_path / "BUNDLE" / "onnx" / "top_k.onnx").is_file()


@pytest.mark.parametrize("page", NUMBERS)
def test_a_number_of_the_readme_stands_on_the_page_of_its_command(page: str) -> None:
    (row,) = [line for line in README.splitlines() if line.startswith("| ") and f"docs/results/{page}.md" in line]
    assert NUMBERS[page] in row
    assert NUMBERS[page] in (ROOT / "docs" / "results" / f"{page}.md").read_text()


def test_training_from_lists_runs_as_shown() -> None:
    (block,) = [code for code in blocks("python", *PAGES) if "Sequences.from_histories(" in code]
    *statements, last = block.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(statements), names)
    scores = eval(last.split("#")[0], names)
    assert isinstance(scores, torch.Tensor)
    assert f"scores {list(scores.shape)}" in last


def test_the_settings_that_pages_show_are_settings(tmp_path: Path) -> None:
    shown = [block for block in blocks("toml", *PAGES) if re.search(r"^\[(model|training|data)\]", block, re.M)]
    assert shown
    for block in shown:
        (tmp_path / "train.toml").write_text(block)
        read_settings(tmp_path / "train.toml")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
