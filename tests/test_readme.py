"""What the README shows runs as it stands, and what pages point to is there."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("clients/*.md"), *ROOT.glob("clients/*/*.md")]
PAGES.append(ROOT / "clients" / "js" / "web" / "README.md")


def test_training_from_lists_runs_as_shown() -> None:
    (block,) = [code for code in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "Trainer(" in code]
    *statements, last = block.strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(statements), names)
    scores = eval(last.split("#")[0], names)
    assert isinstance(scores, torch.Tensor)
    assert f"scores {list(scores.shape)}" in last


def test_the_settings_shown_are_settings(tmp_path: Path) -> None:
    from bst import read_settings

    (block,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / "train.toml").write_text(block)
    assert read_settings(tmp_path / "train.toml").model.tied_output


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
