"""Named pipes in the place of files: nobody writes to them, and nobody waits."""

import os
import shutil
from pathlib import Path

import pytest

from bst import InputError, load_run
from bst.imports.notebook import import_notebook
from bst.run.state_file import load_state

CONFIG = """{"item_embed": {"num_embeddings": 5, "embedding_dim": 4}, "context_features": [], "max_seq_len": 3,
"trans": {"input_size": 4, "hidden_size": 8, "n_layers": 1, "n_heads": 2}}"""


@pytest.mark.parametrize("name", ["model.safetensors", "heldout.safetensors", "metrics.jsonl", "vocabulary.json"])
def test_a_pipe_in_a_run_is_refused(run_path: Path, tmp_path: Path, name: str) -> None:
    run = Path(shutil.copytree(run_path, tmp_path / "run"))
    (run / name).unlink()
    os.mkfifo(run / name)
    with pytest.raises(InputError, match=rf"{name}.* not a plain file"):
        load_run(run)


def test_a_pipe_as_a_state_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "training.safetensors")
    with pytest.raises(InputError, match=r"training\.safetensors is damaged or cut short \(it is not a plain file\)"):
        load_state(tmp_path)


def test_a_pipe_as_weights_of_a_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(CONFIG)
    os.mkfifo(tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"weights\.pt is not a plain file; give what torch\.save"):
        import_notebook(tmp_path / "weights.pt", tmp_path / "config.json", tmp_path / "run")
