"""The command `bst`: what it prints, what it writes, and one line with the value and the remedy when it cannot."""

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from bst import DataConfig, TrainConfig, load_run
from bst.cli import ORDER, build_app
from bst.options import TABLE_OPTIONS, TRAINING_OPTIONS
from tests.conftest import SHARED, Command, refused, write_events

FEW = ("--formats", "torchscript", "--signatures", "top_k")  # the quickest to export; ONNX takes ten times as long
SMALL = "[model]\ndim = 16\nnum_heads = 2\nff_width = 32\nmax_length = 12\nhead_widths = [24]\n[training]\nepochs = 2\n"


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "train.toml"
    path.write_text(SMALL)
    return path


@pytest.mark.bundle
def test_the_road_from_a_table_to_a_recommendation(
    bst_command: Command, tables: tuple[Path, Path], settings: Path, tmp_path: Path
) -> None:
    events, users = tables
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    code, out, err = bst_command(
        "train", events, "--users", users, "--context", "gender,region", "--out", run, "--config", settings
    )
    assert (code, err) == (0, "")
    assert "60 users, 40 items" in out
    assert re.search(r"1/2 +\d\.\d{4} +0\.\d{4} +0\.\d{4}", out)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("epoch") for line in lines] == [1, 2, None]
    assert {"model", "popularity", "markov", "unseen", "filter_seen", "rule"} == set(lines[-1]["test"])
    assert {"loss", "rows_per_s", "validation"} <= set(lines[0])

    table = out[out.index("test   ") : out.index("wrote")]
    assert re.search(r"popularity +0\.\d{4}.*\n  markov +0\.\d{4}", table)
    assert "60 users; 0.0 % of their targets are items that training never saw" in table
    code, out, _ = bst_command("evaluate", run, events, "--users", users)
    assert code == 0
    assert table.rpartition("  60 users")[0] in out
    assert "60 users; 0.0 % of their targets are items without an earlier event in this table" in out
    code, out, _ = bst_command("evaluate", run, events, "--users", users, "--json")
    assert code == 0
    assert json.loads(out)["test"]["model"]["num_users"] == 60

    code, out, _ = bst_command("export", run, "--out", bundle, "--k", 5, *FEW)
    assert code == 0
    assert f"wrote {bundle}" in out

    code, out, _ = bst_command("verify", bundle, "--json")
    assert code == 0
    assert json.loads(out)["ok"] is True

    answers = []
    for backend in ("torchscript", "eager"):
        code, out, err = bst_command(
            "recommend",
            bundle,
            "--history",
            "11,18,5",
            "--context",
            "gender=F,region=4",
            "--backend",
            backend,
            "--json",
        )
        assert code == 0
        assert err.strip() == "ignored, not known to the model: 5"
        answers.append(json.loads(out))
    assert answers[0]["item_ids"] == answers[1]["item_ids"]
    assert answers[0]["scores"] == pytest.approx(answers[1]["scores"], abs=1e-5)


def test_a_run_is_evaluated_on_data_with_items_that_it_does_not_know(
    bst_command: Command, run_path: Path, tmp_path: Path
) -> None:
    users = tmp_path / "users.csv"
    users.write_text("user_id,gender,region\n1,F,4\n2,M,5\n")
    events = tmp_path / "events.csv"
    events.write_text("user_id,item_id,timestamp\n1,11,1\n1,18,2\n1,25,3\n1,5,4\n2,11,1\n2,5,2\n2,18,3\n2,25,4\n")
    code, out, _ = bst_command("evaluate", run_path, events, "--users", users)
    assert code == 0
    assert "2 events of items that the run does not know" in out


def test_what_was_guessed_is_printed_and_evaluate_reads_as_the_run_did(
    bst_command: Command, settings: Path, tables: tuple[Path, Path], tmp_path: Path
) -> None:
    rows = [line.split(",") for line in tables[0].read_text().splitlines()[1:]]
    events, run = tmp_path / "ratings.dat", tmp_path / "run"
    events.write_text("".join(f"{user}::{item}::{3 + int(item) % 2}::{time}\n" for user, item, time in rows))
    refused(bst_command("train", events, "--out", run), "the first line looks like data", "--columns user_id,item_id,")
    options = ("--columns", "user_id,item_id,rating,timestamp", "--where", "rating=4", "--config", settings)
    code, out, _ = bst_command("train", events, "--out", run, *options)
    assert code == 0
    assert "fields are separated by '::'\n--where rating=4 keeps " in out
    code, out, _ = bst_command("evaluate", run, events)
    assert code == 0
    assert "fields are separated by '::'\n--where rating=4 keeps " in out
    refused(bst_command("evaluate", run, tables[0]), "the first line names columns", "say --header")
    code, out, _ = bst_command("evaluate", run, tables[0], "--header", "--where", "")
    assert code == 0
    assert f"{len(rows)} events of 60 users" in out
    assert "separated" not in out


def test_short_histories_are_counted_aloud(bst_command: Command, settings: Path, tmp_path: Path) -> None:
    path = write_events(tmp_path / "events.csv")
    path.write_text(path.read_text() + "901,11,1\n901,18,2\n902,11,1\n")
    code, out, _ = bst_command("train", path, "--out", tmp_path / "run", "--config", settings)
    assert code == 0
    assert "the last event of each user, for 60 users; 2 have no target" in out


def test_options_go_before_the_settings_file(
    bst_command: Command, settings: Path, tables: tuple[Path, Path], tmp_path: Path
) -> None:
    bst_command("train", tables[0], "--out", tmp_path / "run", "--config", settings, "--epochs", 1, "--seed", 7)
    training = json.loads((tmp_path / "run" / "config.json").read_text())["training"]
    assert (training["epochs"], training["seed"]) == (1, 7)


def test_a_single_valued_context_feature_is_one_warning(bst_command: Command, settings: Path, tmp_path: Path) -> None:
    path = write_events(tmp_path / "events.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0] + ",shop", *(line + ",north" for line in lines[1:])]))
    code, _, err = bst_command("train", path, "--context", "shop", "--out", tmp_path / "run", "--config", settings)
    assert code == 0
    assert err == "warning: context feature 'shop' has the single value 'north': it tells the model nothing\n"


def test_resume_goes_on_and_shows_the_epochs_before(
    bst_command: Command, settings: Path, tables: tuple[Path, Path], tmp_path: Path
) -> None:
    command = ("train", tables[0], "--out", tmp_path / "run", "--config", settings, "--resume")
    code, first, _ = bst_command(*command)
    assert code == 0
    code, again, _ = bst_command(*command)
    assert code == 0
    assert again == first
    refused(bst_command(*command, "--seed", 5), "training.seed is 5, in the run 0", "another --out")
    refused(bst_command(*command, "--context", "gender", "--users", tables[1]), "data.context is", "in the run []")
    refused(bst_command(*command[:-1]), "exists")


def test_resume_of_a_folder_that_is_no_run_is_one_line(
    bst_command: Command, tables: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("precious")
    refused(bst_command("train", tables[0], "--out", tmp_path, "--resume"), "is not a run", "config.json")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_loss_that_is_not_finite_is_one_line_and_the_run_stays(
    bst_command: Command, tables: tuple[Path, Path], tmp_path: Path
) -> None:
    config = tmp_path / "train.toml"
    config.write_text(SMALL + "batch_events = 60\nlearning_rate = 1e30\nwarmup_steps = 0\nclipping = 'off'\n")
    code, _, err = bst_command("train", tables[0], "--out", tmp_path / "run", "--config", config)
    assert code == 1
    assert re.match(r"error: the loss is .* in step \d+ of epoch 1; .* lower learning_rate=1e\+30\n$", err)
    refused(bst_command("export", tmp_path / "run", "--out", tmp_path / "bundle"), "no model.safetensors yet")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the reader, which imports what protobuf deprecates
def test_tensorboard_shows_every_epoch(
    bst_command: Command, settings: Path, tables: tuple[Path, Path], tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    assert bst_command("train", tables[0], "--out", run, "--config", settings, "--tensorboard")[0] == 0
    found = EventAccumulator(str(run / "tensorboard")).Reload()
    lines = load_run(run).epochs
    losses = found.Scalars("training/loss")
    assert [(one.step, one.value) for one in losses] == [(line["epoch"], pytest.approx(line["loss"])) for line in lines]
    assert [one.value for one in found.Scalars("validation/hr_10")] == [
        pytest.approx(line["validation"]["hr_10"]) for line in lines
    ]


def test_without_tensorboard_the_option_names_the_package(
    bst_command: Command, tables: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bst.run.figures.find_spec", lambda name: None)
    result = bst_command("train", tables[0], "--out", tmp_path / "run", "--tensorboard")
    refused(result, "needs the package tensorboard", "pip install tensorboard")
    assert not (tmp_path / "run").exists()


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    commands = build_app().commands
    assert list(commands) == list(ORDER)
    for name, command in commands.items():
        assert command.callback is not None
        assert command.callback.__doc__, name
        assert f"bst {name}" in readme


def test_defaults_are_told_from_the_config(bst_command: Command) -> None:
    code, out, _ = bst_command("train", "--help")
    assert code == 0
    assert f"[default: {TrainConfig().epochs}]" in out
    assert DataConfig().time_column in out


def test_every_setting_of_tables_is_an_option() -> None:
    options = [option.setting for option in (*TABLE_OPTIONS, *TRAINING_OPTIONS)]
    assert sorted([*options, "context"]) == sorted(DataConfig.model_fields)


def test_options_of_evaluate_are_by_default_as_in_the_run(bst_command: Command) -> None:
    code, out, _ = bst_command("evaluate", "--help")
    assert code == 0
    assert "Column of users.  [default: as in the run]" in out
    assert DataConfig().user_column not in out


@pytest.mark.slow
def test_the_module_runs_as_the_command_does() -> None:
    """As tests/reliability/doors ask of the first row of `bst recommend`, quickly."""
    found = subprocess.run(
        [sys.executable, "-m", "bst", "verify", "nowhere"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert (
        found.stderr == "error: nowhere is not a bundle (a folder that `bst export` writes): there is no such folder\n"
    )


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared MovieLens data is not beside the project")
def test_real_tables_are_read_as_their_readme_says() -> None:
    from bst import Dataset, read_interactions

    for name, events, users, items in (("ml-1m", 999_611, 6_040, 3_416), ("ml-100k", 100_000, 943, 1_682)):
        config = DataConfig(context=("gender", "age", "occupation"))
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            table = read_interactions(SHARED / name / "interactions.csv.gz", config, SHARED / name / "users.csv")
        assert ["'none' in 9 rows" in str(one.message) for one in warned] == [True] * (name == "ml-100k")
        dataset = Dataset.build(table)
        found = (len(dataset.sequences.items), dataset.sequences.num_users, len(dataset.vocabularies.items))
        assert found == (events, users, items)
        assert dataset.split.too_short == 0
        assert (dataset.sequences.context > 0).all()
