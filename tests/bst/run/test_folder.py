"""A run is whole or not there, and what does not fit is refused by name."""

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from bst import InputError, load_run, save_run
from bst.system.files import staged_folder, write_atomically


@pytest.fixture
def copied(run_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_path, tmp_path / "run"))


def test_a_run_survives_being_saved_again(run_path: Path, tmp_path: Path) -> None:
    run = load_run(run_path)
    save_run(tmp_path / "again", run)
    again = load_run(tmp_path / "again")
    assert again.config == run.config
    assert again.vocabularies.items.ids.equals(run.vocabularies.items.ids)
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor)
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (run_path / "model.safetensors").read_bytes()


def test_a_run_holds_no_pickle(run_path: Path) -> None:
    assert {path.suffix for path in run_path.iterdir()} == {".json", ".jsonl", ".safetensors", ".svg"}


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a run .*config\.json cannot be read"):
        load_run(tmp_path)
    with pytest.raises(InputError, match="there is no such folder"):
        load_run(tmp_path / "nowhere")


def test_a_run_of_a_later_schema_is_refused(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "schema_version": 7}))
    with pytest.raises(InputError, match="schema_version=7, this version reads 2"):
        load_run(copied)


def test_a_run_that_counted_its_batches_in_windows_is_read(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    del config["training"]["batch_events"]
    old = {**config, "schema_version": 1, "training": {**config["training"], "batch_size": 7}}
    (copied / "config.json").write_text(json.dumps(old))
    assert load_run(copied).config.training.batch_events == 7 * config["model"]["max_length"]


def test_a_run_of_before_windows_had_a_common_part_is_read_as_it_was_trained(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    assert config["training"].pop("overlap") is not None
    (copied / "config.json").write_text(json.dumps(config))
    assert load_run(copied).config.training.overlap == 0


@pytest.mark.parametrize(
    "name", ["config.json", "vocabulary.json", "model.safetensors", "heldout.safetensors", "metrics.jsonl"]
)
def test_every_file_that_is_missing_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        load_run(copied)


@pytest.mark.parametrize("keep", [0, 5, 100, 2000])
def test_weights_that_are_cut_short_are_refused(copied: Path, keep: int) -> None:
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"model\.safetensors is damaged or cut short"):
        load_run(copied)


def test_all_weights_that_do_not_fit_are_named_at_once(copied: Path) -> None:
    path = copied / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    weights["extra"] = weights.pop("head.0.bias")
    weights["output.bias"] = weights["output.bias"][:-1].clone()
    weights["output.weight"][0, 0] = torch.nan
    safetensors.torch.save_file(weights, path)
    with pytest.raises(InputError) as raised:
        load_run(copied)
    message = str(raised.value)
    assert "head.0.bias is missing" in message
    assert "extra is not part of the model" in message
    assert "output.bias is torch.float32 [39], not torch.float32 [40]" in message
    assert "output.weight holds NaN" in message


def test_a_vocabulary_of_another_run_is_refused(copied: Path) -> None:
    values = json.loads((copied / "vocabulary.json").read_text())
    values["items"]["ids"].pop()
    (copied / "vocabulary.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=r"vocabulary\.json holds 39 items .* says 40"):
        load_run(copied)


def test_a_staged_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail_half_way() -> None:
        with staged_folder(tmp_path / "out", "the run") as stage:
            (stage / "file").write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights"
    write_atomically(path, "old")

    def no_space(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
