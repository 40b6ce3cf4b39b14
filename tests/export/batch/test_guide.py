"""The guide to scoring holds: its commands run, and it names the columns and files that there are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from export.batch.engines import ENGINES
from export.batch.settings import UNIT_ROWS
from tests.conftest import Command, write_events, write_users
from tests.export.batch.shop import opened, read_scores, score_here, shards, shop, write_parts

GUIDES = Path(__file__).parents[3] / "docs" / "guides"
GUIDE = (GUIDES / "scoring.md").read_text()


def test_the_commands_of_the_guide_run(
    bundle_path: Path, bst_command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundle_path, "BUNDLE")
    write_parts(Path("users"), shop(opened(bundle_path)))
    write_events(Path("events.csv"))
    write_users(Path("users.csv"))
    blocks = "".join(re.findall(r"```sh\n(.*?)```", GUIDE, flags=re.DOTALL))
    commands = [line for line in blocks.splitlines() if line.startswith("bst") and "--engine ray" not in line]
    assert len(commands) == 3
    for command in commands:
        code, _, stderr = bst_command(*command.split()[1:])
        assert code == 0, stderr
    code, _, stderr = bst_command(*["score", "BUNDLE", "users/", "--verify", "recs/"])
    assert code == 0, stderr
    shown = re.findall(r"^recs/(\S+?)(?:\.parquet|\s)", GUIDE, flags=re.MULTILINE)
    others = [path for path in Path("recs").iterdir() if path.suffix != ".parquet"]
    assert set(shown[1:]) == {path.name if path.is_file() else f"{path.name}/" for path in others}
    for column in read_scores(Path("recs")).columns[1:]:
        assert f"| `{column}` |" in GUIDE
    assert f"{UNIT_ROWS:,} rows" in GUIDE


def test_the_engine_of_the_guide_scores(bundle_path: Path, bst_command: Command, tmp_path: Path) -> None:
    page = (GUIDES / "extending.md").read_text()
    (program,) = re.findall(r"```python\n(from export.batch.engines.*?)```", page, flags=re.DOTALL)
    users = write_parts(tmp_path / "users", shop(opened(bundle_path)))
    names: dict[str, Any] = {}
    exec(program, names)
    try:
        code, _, stderr = bst_command("score", bundle_path, users, "--out", tmp_path / "out", "--engine", "plain")
    finally:
        ENGINES.remove("plain")
    assert (code, stderr) == (0, "")
    score_here(bundle_path, users, tmp_path / "here")
    assert shards(tmp_path / "out") == shards(tmp_path / "here")
