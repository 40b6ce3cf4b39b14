from pathlib import Path

import pytest

from bst.config import Architecture, BSTConfig, ContextFeature, DataConfig, Settings, TrainConfig, with_preset
from bst.errors import InputError
from bst.settings_file import read_settings
from bst.system.validation import validated


def test_a_width_that_heads_do_not_divide_is_refused_with_the_nearest_that_fit() -> None:
    with pytest.raises(InputError, match="dim=60 does not divide into num_heads=8; try 56 or 64"):
        validated(Architecture, {"dim": 60, "num_heads": 8}, "options")


def test_all_offences_come_in_one_message() -> None:
    values = {"model": {"depth": 3}, "training": {"epochs": 0}, "extra": 1}
    with pytest.raises(InputError) as raised:
        validated(Settings, values, "train.toml")
    message = str(raised.value)
    assert "'model.depth'" in message
    assert "num_blocks" in message  # the known settings are listed
    assert "training.epochs=0" in message
    assert "'extra'" in message


def test_settings_are_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text('[model]\nhead_widths = [64, 32]\n[training]\nschedule = "multistep"\nmilestones = [2, 4]\n')
    settings = read_settings(path)
    assert settings.model.head_widths == (64, 32)
    assert settings.training.milestones == (2, 4)
    assert settings.model.dim == Architecture().dim


@pytest.mark.parametrize(
    ("content", "message"),
    [("[model\n", "is not TOML"), ("[model]\nthing = 1\n", "there is no setting 'model.thing'")],
)
def test_a_bad_settings_file_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "train.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_settings(path)


def test_a_preset_sets_its_settings_and_no_other() -> None:
    model = with_preset(Architecture(dim=64), "notebook")
    assert (model.dim, model.pooling, model.padding, model.tied_output) == (64, "mean", "counted", False)
    assert with_preset(Architecture(pooling="mean"), "notebook").pooling == "mean"


def test_a_setting_that_contradicts_a_preset_is_named() -> None:
    with pytest.raises(InputError, match=r"--preset notebook contradicts pooling='sum' \(the preset has 'mean'\)"):
        with_preset(Architecture(pooling="sum"), "notebook")


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read the settings .*none\.toml"):
        read_settings(tmp_path / "none.toml")


def test_a_config_survives_json() -> None:
    config = BSTConfig(num_items=5, context=(ContextFeature(name="gender", num_categories=2, dim=3),))
    assert validated(BSTConfig, config.model_dump(mode="json"), "config.json") == config


@pytest.mark.parametrize("name", ["history", "two words", "class", "scores", "größe", "gro\u0308ße", "ﬁt"])
def test_a_context_feature_must_be_able_to_name_an_input(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a model input"):
        ContextFeature(name=name, num_categories=2, dim=3)


def test_a_head_without_width_needs_a_tied_output() -> None:
    with pytest.raises(ValueError, match=r"head_widths=\[\] needs tied_output"):
        Architecture(head_widths=(), tied_output=False)


def test_milestones_without_multistep_are_refused() -> None:
    with pytest.raises(ValueError, match=r"milestones=\[3\] with schedule='cosine'"):
        TrainConfig(milestones=(3,))


def test_the_settings_of_an_older_run_are_those_of_today() -> None:
    old = {
        "user_column": "user",
        "item_column": "item_id",
        "time_column": "timestamp",
        "context": [],
        "text_ids": False,
    }
    assert validated(DataConfig, old, "config.json") == DataConfig(user_column="user")


@pytest.mark.parametrize("order", ["file_order", "ragged"])
@pytest.mark.parametrize(
    ("timed", "value"), [("time_column", "day"), ("time_format", "%Y"), ("split_at", "2020-01-01")]
)
def test_the_order_of_a_file_and_times_contradict_each_other(order: str, timed: str, value: str) -> None:
    option = f"--{timed.replace('_', '-')} {value} contradicts it"
    with pytest.raises(InputError, match=option):
        validated(DataConfig, {order: True, timed: value}, "the options")


@pytest.mark.parametrize(
    ("chosen", "num_events", "share", "words"),
    [
        (None, 299, 0.1, "10 % of the items that a step reads are known by their features alone (29.9 training events"),
        (None, 300, 0.02, "2 % of the items that a step reads are known by their features alone (30.0 training events"),
        (0.005, 300, 0.005, "0.5 % of the items that a step reads are known by their features alone (as set)"),
    ],
)
def test_ids_are_left_out_more_often_where_items_have_few_events(
    chosen: float | None, num_events: int, share: float, words: str
) -> None:
    fitted, lines = Architecture(id_dropout=chosen).fitted(10, num_events)
    assert fitted.id_dropout == share
    assert lines["id_dropout"].startswith(words)
    assert fitted.fitted(10, 1)[0] == fitted  # what a run keeps is not chosen anew


@pytest.mark.parametrize(
    ("task", "chosen", "num_events", "share", "words"),
    [
        ("next_item", None, 299, 0.4, "40 % of the activations of a step are left out at random (29.9 training events"),
        ("next_item", None, 300, 0.3, "30 % of the activations of a step are left out at random (30.0 training events"),
        ("click", None, 299, 0.3, "30 % of the activations of a step are left out at random (29.9 training events"),
        ("next_item", 0.0, 299, 0.0, "0 % of the activations of a step are left out at random (as set)"),
    ],
)
def test_more_is_left_out_where_items_have_few_events(
    task: str, chosen: float | None, num_events: int, share: float, words: str
) -> None:
    fitted, lines = Architecture.model_validate({"task": task, "dropout": chosen}).fitted(10, num_events)
    assert fitted.dropout == share
    assert lines["dropout"].startswith(words)
