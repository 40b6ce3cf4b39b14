"""What commands refuse, in one line and before any work."""

import json
from pathlib import Path

import pytest

from tests.conftest import Command, refused


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("user,item_id,timestamp\n1,2,3\n", ("'user_id'", "--user-column")),
        ("user_id,item_id,timestamp\n", ("no rows",)),
        ("", ("is empty",)),
        ("user_id,item_id,timestamp\n1,5,1\n1,x5,2\n", ("'5'", "'x5'", "--text-ids")),
        ("user_id,item_id,timestamp\n1,5,1.5\n1,5,NaN\n", ("'timestamp'", "NaN", "row 1")),
        ("user_id,item_id,timestamp\n1,5,1\n1,6,2\n", ("no user has a test target", "three events")),
    ],
)
def test_bad_tables_leave_one_line_and_no_run(
    bst_command: Command, tmp_path: Path, content: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "events.csv"
    path.write_text(content)
    refused(bst_command("train", path, "--out", tmp_path / "run"), *words)
    assert [one.name for one in tmp_path.iterdir()] == ["events.csv"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--context", "height"), ("'height'", "user_id, item_id, timestamp", "--users")),
        (("--config", "missing.toml"), ("missing.toml",)),
        (("--device", "tpu"), ("'tpu'", "available: cpu")),
        (("--epochs", "0"), ("epochs=0",)),
        (("--epochs", "many"), ("many",)),
        (("--item-column", "product"), ("'product'", "user_id, item_id, timestamp")),
        (("--no-such-option",), ("--no-such-option",)),
    ],
)
def test_bad_options_of_train_are_one_line(
    bst_command: Command, tables: tuple[Path, Path], tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(bst_command("train", tables[0], "--out", tmp_path / "run", *options), *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[model]\ndim = 60\nnum_heads = 8\n", ("dim=60", "num_heads=8", "try 56 or 64")),
        ("[model]\nlayers = 3\n", ("'model.layers'", "num_blocks")),
        ("[training]\nlearning_rate = -1.0\n", ("training.learning_rate=-1.0",)),
    ],
)
def test_bad_settings_are_one_line(
    bst_command: Command, tables: tuple[Path, Path], tmp_path: Path, toml: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "train.toml").write_text(toml)
    refused(bst_command("train", tables[0], "--out", tmp_path / "run", "--config", tmp_path / "train.toml"), *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "export", "demo"])
def test_what_exists_is_never_written_over(
    bst_command: Command, command: str, tables: tuple[Path, Path], run_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("precious")
    source = {"train": [tables[0]], "export": [run_path], "demo": []}[command]
    refused(bst_command(command, *source, "--out", tmp_path), str(tmp_path), "exists", "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_is_no_run_or_bundle_is_one_line(bst_command: Command, tmp_path: Path) -> None:
    refused(bst_command("export", tmp_path, "--out", tmp_path / "bundle"), "is not a run", "config.json")
    for command in (["verify"], ["recommend"], ["bench"]):
        refused(bst_command(*command, tmp_path), "is not a bundle", "manifest.json")


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ("item", "'item' cannot be the name"),
        ("zip-code", "'zip-code' cannot be the name"),
        ("item_id", "'item_id' is a column of the events themselves"),
        ("gender,gender", "'gender' is named twice"),
    ],
)
def test_context_names_are_refused_before_any_data_is_read(
    bst_command: Command, tables: tuple[Path, Path], tmp_path: Path, context: str, words: str
) -> None:
    refused(
        bst_command("train", tables[0], "--users", tables[1], "--context", context, "--out", tmp_path / "run"), words
    )


def test_a_notebook_checkpoint_that_does_not_fit_is_one_line(bst_command: Command, tmp_path: Path) -> None:
    import torch

    torch.save({"item_embed.weight": torch.zeros(3, 4)}, tmp_path / "best")
    table = {"num_embeddings": 5, "embedding_dim": 4}
    trans = {"input_size": 4, "hidden_size": 4, "n_layers": 1, "n_heads": 2}
    config = {"item_embed": table, "trans": trans, "context_features": [], "max_seq_len": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    result = bst_command("import", "notebook", tmp_path / "best", tmp_path / "config.json", "--out", tmp_path / "run")
    refused(result, "item_embed.weight is [3, 4], the config says [5, 4]", "mlp.2.bias is missing")
    assert not (tmp_path / "run").exists()
