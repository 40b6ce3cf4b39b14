"""`bst config` prints settings that `bst train` reads back, and what each of them means."""

import re
import tomllib
from pathlib import Path

import pytest

from bst import Architecture, DataConfig, Settings, TrainConfig, load_run, read_settings
from bst.config import FULL_SOFTMAX_ITEMS, RETURNING, SPARSE_EVENTS, Table
from bst.settings_file import WIDTH, settings_toml
from tests.conftest import Command, refused

TABLES = (Architecture, TrainConfig, DataConfig)
ODD = 'a "b" \\d\te=[c]#\x7f grün 日本 😀'
CHANGED = Settings(
    model=Architecture(head_widths=(), dropout=0.0),
    training=TrainConfig(learning_rate=1e-7, schedule="multistep", milestones=(2, 4), patience=3, filter_seen=False),
    data=DataConfig(user_column=ODD, time_format="%d/%m/%Y %H:%M", context=("hour", "device"), text_ids=True),
)


def read_back(text: str, folder: Path) -> Settings:
    (folder / "train.toml").write_text(text, encoding="utf-8")
    return read_settings(folder / "train.toml")


def test_what_is_printed_is_what_holds_without_it(bst_command: Command, tmp_path: Path) -> None:
    code, out, err = bst_command("config")
    assert (code, err) == (0, "")
    assert read_back(out, tmp_path) == Settings()
    assert max(map(len, out.splitlines())) <= WIDTH
    for name in ("model", "training", "data"):
        keys = set(re.findall(r"^(?:# )?(\w+) = ", out, re.M))
        assert set(type(getattr(Settings(), name)).model_fields) <= keys


def test_settings_survive_their_toml(tmp_path: Path) -> None:
    assert read_back(settings_toml(CHANGED), tmp_path) == CHANGED


@pytest.mark.parametrize("kind", TABLES)
def test_every_setting_says_what_it_means_and_one_without_a_value_how_it_may_look(kind: type[Table]) -> None:
    fields = kind.model_fields.items()
    assert [name for name, field in fields if not field.description] == [], "write its meaning below the field"
    lacking = [name for name, field in fields if field.default is None and not field.examples]
    assert lacking == [], "give it Field(examples=[...])"


def test_settings_without_a_value_are_comments_that_hold_when_the_mark_goes(tmp_path: Path) -> None:
    text = settings_toml(Settings())
    values = tomllib.loads(text)
    assert "patience" not in values["training"]
    settings = read_back(re.sub(r"^# (\w+ = )", r"\1", text, flags=re.M), tmp_path)
    assert [name for table in (settings.training, settings.data) for name, value in table if value is None] == []
    assert settings.training.patience == 3


def test_the_numbers_in_the_meanings_are_those_of_the_code() -> None:
    meanings = {name: field.description or "" for name, field in TrainConfig.model_fields.items()}
    assert f"more than {FULL_SOFTMAX_ITEMS:,} items or fewer than {SPARSE_EVENTS} training events" in meanings["loss"]
    assert f"more than {RETURNING:.0%}".replace("%", " %") in meanings["filter_seen"]


def test_the_settings_of_a_run_and_of_a_file_are_printed(bst_command: Command, run_path: Path, tmp_path: Path) -> None:
    _, out, _ = bst_command("config", run_path)
    settings, config = read_back(out, tmp_path), load_run(run_path).config
    assert (settings.training, settings.data) == (config.training, config.data)
    assert {getattr(config.model, name) == value for name, value in settings.model} == {True}
    (tmp_path / "mine.toml").write_text("[model]\ndim = 64\n")
    _, out, _ = bst_command("config", tmp_path / "mine.toml")
    assert read_back(out, tmp_path) == Settings(model=Architecture(dim=64))


def test_what_holds_no_settings_is_refused(bst_command: Command, tmp_path: Path) -> None:
    refused(bst_command("config", tmp_path / "none"), "none", "give the path of a TOML file")
    refused(bst_command("config", tmp_path), "is not a run", "config.json")
