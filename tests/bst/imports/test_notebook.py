"""A model of the notebook scores here as it scores there, whatever was odd about it.

The notebook's own code is run beside ours: its text lies in the shared reference, and the tests that need it skip where
that is missing.
"""

import json
import pickle
import re
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bst import InputError, load_run
from bst.imports.notebook import import_notebook, notebook_positions, read_notebook_config
from export import ExportSettings, TopK, export_bundle, open_bundle, verify_bundle
from export.bundle.folder import FORMAT_OF

NOTEBOOK = Path(__file__).parents[4] / "shared" / "reference" / "bst_notebook.md"
needs_notebook = pytest.mark.skipif(not NOTEBOOK.is_file(), reason="the notebook's text is not beside the project")


def config(
    dim: int = 32,
    heads: int = 4,
    layers: int = 2,
    length: int = 6,
    features: tuple[tuple[int, int], ...] = ((6, 10), (4, 7)),
    items: int = 50,
) -> dict[str, Any]:
    def table(rows: int, width: int) -> dict[str, Any]:
        return {"num_embeddings": rows, "embedding_dim": width, "sparse": False, "padding_idx": -1}

    return {
        "item_embed": table(items, dim),
        "trans": {"input_size": dim, "hidden_size": 16, "n_layers": layers, "n_heads": heads, "max_len": 5},
        "context_features": [table(*feature) for feature in features],
        "cuda": False,
        "max_seq_len": length,
        "init_method": "xavier",
    }


CONFIGS = {
    "sample": config(),
    "one_head": config(heads=1),
    "eight_heads_long": config(dim=64, heads=8, layers=1, length=50),
    "odd_dim": config(dim=33, heads=3, length=20),
    "no_context": config(features=()),
    "five_features": config(features=((3, 2), (9, 4), (2, 1), (5, 16), (4, 3))),
    "length_one": config(length=1),
    "dim_one": config(dim=1, heads=1),
}


@pytest.fixture(scope="module")
def notebook() -> types.SimpleNamespace:
    cells = re.findall(r"```python[^\n]*\n(.*?)```", NOTEBOOK.read_text(), flags=re.DOTALL)
    namespace: dict[str, Any] = {}
    for cell in cells:
        if not cell.startswith("%%"):
            exec(cell, namespace)
    return types.SimpleNamespace(**namespace)


def saved(notebook: types.SimpleNamespace, name: str, folder: Path) -> tuple[Any, Path, Path]:
    torch.manual_seed(0)
    model = notebook.BSTransformer(CONFIGS[name]).eval()
    for parameter in model.parameters():  # as after training: every row, bias and norm has moved
        parameter.data += 0.05 * torch.randn_like(parameter)
    torch.save(model.state_dict(), folder / "best")
    (folder / "config.json").write_text(json.dumps(CONFIGS[name]))
    return model, folder / "best", folder / "config.json"


def rows(name: str, batch: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rows with zeros on the left and in the middle, one full, one of padding alone."""
    stated = CONFIGS[name]
    torch.manual_seed(1)
    items = torch.randint(1, stated["item_embed"]["num_embeddings"], (batch, stated["max_seq_len"]))
    for row in range(1, batch - 1):
        items[row, : torch.randint(0, stated["max_seq_len"], ())] = 0
    items[3][torch.rand(items.size(1)) < 0.4] = 0
    items[-1] = 0
    columns = [torch.randint(0, feature["num_embeddings"], (batch,)) for feature in stated["context_features"]]
    return items, torch.stack(columns, dim=1) if columns else torch.zeros(batch, 0, dtype=torch.int64)


def allowed(scores: torch.Tensor, exported: bool = False) -> float:
    return 5e-5 if scores.abs().max() > 10 else 1e-5 if exported else 5e-6


@needs_notebook
@pytest.mark.parametrize("name", CONFIGS)
def test_an_imported_model_scores_as_in_the_notebook(
    notebook: types.SimpleNamespace, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, weights, stated = saved(notebook, name, tmp_path)
    import_notebook(weights, stated, tmp_path / "run")
    ours = load_run(tmp_path / "run").model
    items, context = rows(name)
    longest = items.size(1)
    for length in sorted({1, max(longest // 2, 1), longest}):
        with torch.inference_mode():
            expected = model(items[:, -length:], context.T)[0]
            found = ours(items[:, -length:], context)
        assert (found[:, 1:] - expected[:, 1:]).abs().max().item() <= allowed(expected)


@needs_notebook
@pytest.mark.parametrize(
    ("name", "formats"),
    [
        ("odd_dim", ("torchscript",)),
        *(
            pytest.param(one, ExportSettings().formats, marks=pytest.mark.slow)
            for one in ("odd_dim", "sample", "no_context")
        ),
    ],
)
@pytest.mark.bundle
def test_an_imported_model_exports_like_any_other(
    notebook: types.SimpleNamespace,
    name: str,
    formats: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, weights, stated = saved(notebook, name, tmp_path)
    import_notebook(weights, stated, tmp_path / "run")
    settings = ExportSettings(top_k=TopK(limit=5), formats=formats, signatures=("all_scores",))
    export_bundle(tmp_path / "run", tmp_path / "bundle", settings)
    assert [one.format for one in verify_bundle(tmp_path / "bundle")] == list(formats)
    items, context = rows(name)
    with torch.inference_mode():
        expected = model(items, context.T)[0][:, 1:]
    inputs = {
        "history": items.numpy(),
        **{f"context_{place}": column.numpy() for place, column in enumerate(context.T)},
    }
    for backend in [one for one, form in FORMAT_OF.items() if form in formats]:
        found = open_bundle(tmp_path / "bundle").session(backend, "all_scores")(inputs)["scores"]
        assert np.abs(found - expected.numpy()).max() <= allowed(expected, exported=True)


@needs_notebook
@pytest.mark.parametrize(("length", "dim"), [(6, 32), (50, 64), (20, 33), (1, 8), (7, 1), (5, 4)])
def test_the_position_table_is_the_notebooks_to_the_bit(notebook: types.SimpleNamespace, length: int, dim: int) -> None:
    expected = notebook.BSTransformer.pos_embedding_sinusoidal(length, dim, False)
    assert torch.equal(notebook_positions(length, dim)[:length], expected)


def write(folder: Path, weights: object, stated: object) -> tuple[Path, Path, Path]:
    torch.save(weights, folder / "best")
    (folder / "config.json").write_text(json.dumps(stated))
    return folder / "best", folder / "config.json", folder / "run"


def test_a_config_is_read_from_the_file_that_the_notebook_writes(tmp_path: Path) -> None:
    path = tmp_path / "config_sample.py"
    path.write_text(f"import os\nos.remove('/nowhere')\nconfig = {CONFIGS['sample']!r}\n")
    assert read_notebook_config(path).trans.n_heads == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("config = make()", "holds no notebook config"),
        ("other = {}", "there is no `config = {...}` in it"),
        ("config = {'trans': 3}", "item_embed"),
        ("config = {", "holds no notebook config"),
    ],
)
def test_a_python_config_is_read_and_never_run(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "config.py").write_text(content)
    with pytest.raises(InputError, match=re.escape(message)):
        read_notebook_config(tmp_path / "config.py")


def test_all_mismatches_come_in_one_message(tmp_path: Path) -> None:
    stated = config(dim=8, heads=2, layers=1, features=())
    weights = {"item_embed.weight": torch.zeros(49, 8), "mlp.0.bias": torch.zeros(1024), "extra": torch.zeros(1)}
    with pytest.raises(InputError) as raised:
        import_notebook(*write(tmp_path, weights, stated))
    message = str(raised.value)
    assert "item_embed.weight is [49, 8], the config says [50, 8]" in message
    assert "extra is not part of the notebook's model" in message
    assert "mlp.2.weight is missing" in message
    assert "encoder.stack.0.mh_attention._query.weight is missing" in message
    assert not (tmp_path / "run").exists()


class Booby:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("booby-was-here"),))


@pytest.mark.parametrize("content", [{"item_embed.weight": Booby()}, Booby(), [1, 2], {"a": 3}])
def test_a_checkpoint_that_holds_more_than_tensors_is_refused_and_not_run(
    tmp_path: Path, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"plain tensors|more than named tensors"):
        import_notebook(*write(tmp_path, content, CONFIGS["sample"]))
    (tmp_path / "best").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=r"plain tensors|more than named tensors"):
        import_notebook(tmp_path / "best", tmp_path / "config.json", tmp_path / "run")
    assert not (tmp_path / "booby-was-here").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"trans": {**CONFIGS["sample"]["trans"], "input_size": 64}},
            "trans.input_size=64 is not item_embed.embedding_dim=32",
        ),
        (
            {"trans": {**CONFIGS["sample"]["trans"], "n_heads": 5}},
            "dim=32 does not divide into num_heads=5; try 30 or 35",
        ),
        ({"max_seq_len": 0}, "max_seq_len=0"),
        ({"heads": 3}, "there is no setting 'heads'"),
        (config(dim=3, heads=1), "position table is NaN"),
    ],
)
def test_a_config_that_no_model_can_have_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        import_notebook(*write(tmp_path, {}, {**CONFIGS["sample"], **change}))
