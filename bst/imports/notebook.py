"""Models of the seed notebook: its config and saved weights become a run with the notebook's scores.

Differences of the notebook are folded into weights and buffers where that is exact: its scale sqrt(num_heads) into the
query weights, its position table into the buffer; the output row of its class 0 is left out. The difference that
cannot be folded is the config value `padding="counted"` (see `Architecture`). `docs/guides/notebook.md` has the whole
list.
"""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import polars as pl
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from bst.config import BSTConfig, DataConfig, Frozen, TrainConfig
from bst.data.vocabulary import Vocabularies, Vocabulary
from bst.errors import InputError
from bst.imports.rankers.account import is_whole
from bst.model import BST
from bst.run.folder import SCHEMA_VERSION, Run, RunConfig, library_versions, save_run
from bst.run.heldout import made_up
from bst.system.files import parse_json, read_text
from bst.system.plain_tensors import read_plain_tensors
from bst.system.validation import validated

CONFIG_BYTES = 2**20
HEAD_WIDTH = 1024  # hard-coded in the notebook, as is the slope of LeakyReLU


class _Table(Frozen):
    num_embeddings: PositiveInt
    embedding_dim: PositiveInt
    sparse: bool = False
    padding_idx: int | None = None


class _Encoder(Frozen):
    input_size: PositiveInt
    hidden_size: PositiveInt
    n_layers: NonNegativeInt
    n_heads: PositiveInt
    max_len: int | None = None


class NotebookConfig(Frozen):
    """The notebook's `config`, key by key. `max_len`, `cuda`, `sparse`, `padding_idx` and settings of training do
    not change the scores of a trained model, and are ignored."""

    item_embed: _Table
    trans: _Encoder
    context_features: tuple[_Table, ...]
    max_seq_len: PositiveInt
    cuda: bool = False
    init_method: str | None = None
    lr: float | None = None
    clip_value: float | None = None


def import_notebook(weights: Path, config: Path, out: Path, names: tuple[str, ...] = ()) -> Run:
    """Turn what the notebook saves into the run `out`.

    Raw ids of the run are the notebook's indices: items 1 to `num_embeddings - 1`, categories likewise, 0 where there
    is none. The held-out rows that its exports are compared on are made up, since the notebook keeps no data.

    Args:
        weights: a file of `torch.save(model.state_dict(), path)`. No pickle code of it is run.
        config: the dictionary as JSON, or the `.py` file with `config = {...}`, of which only literals are read.
        names: of the context features, in order; `context_0`, `context_1`, ... unless given.

    Raises:
        InputError: a file cannot be read, holds anything but tensors, or weights and config do not fit; every
            mismatch in one message.
    """
    notebook = read_notebook_config(config)
    names = names or tuple(f"context_{place}" for place in range(len(notebook.context_features)))
    if len(names) != len(notebook.context_features):
        raise InputError(
            f"{len(names)} names ({', '.join(names)}) for {len(notebook.context_features)} context features; "
            "give one each"
        )
    try:
        settings = bst_config(notebook, names)
        settings.require_memory(1)
    except InputError as error:
        raise InputError(f"{config}: {error}") from None
    if weights.exists() and not (weights.is_file() or weights.is_dir()):
        raise InputError(f"{weights} is not a plain file; give what torch.save(model.state_dict(), path) wrote")
    tensors = read_plain_tensors(weights)
    if notebook.trans.n_layers > len(tensors):  # before the names of so many are listed
        raise InputError(
            f"{weights} does not fit its config: it holds {len(tensors)} tensors, and {config} says "
            f"trans.n_layers={notebook.trans.n_layers}"
        )
    state = converted(tensors, notebook, weights)
    model = BST(settings)
    model.load_state_dict(state)
    run_config = RunConfig(
        schema_version=SCHEMA_VERSION,
        model=settings,
        training=TrainConfig(),
        data=DataConfig(context=names),
        versions=library_versions("polars"),
    )
    run = Run(model.eval(), run_config, _vocabularies(settings), made_up(settings), ())
    save_run(out, run)
    return run


def read_notebook_config(path: Path) -> NotebookConfig:
    """Read the notebook's config from JSON or from the `.py` file that it writes, without running that file.

    Raises:
        InputError: the file holds no such dictionary; every wrong or missing key in one message.
    """
    try:
        source = read_text(path, CONFIG_BYTES)
        values = _python_config(source) if path.suffix == ".py" else parse_json(source)
    except OSError as error:
        raise InputError(f"cannot read the notebook's config {path}: {error.strerror}") from None
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:  # errors of Python's parser
        raise InputError(f"{path} holds no notebook config ({error}); give JSON or `config = {{...}}` as .py") from None
    return validated(NotebookConfig, values, str(path))


def bst_config(notebook: NotebookConfig, names: tuple[str, ...]) -> BSTConfig:
    """Translate a notebook config into a `BSTConfig`.

    Raises:
        InputError: sizes contradict one another, or the notebook itself gives NaN for them.
    """
    dim, encoder = notebook.item_embed.embedding_dim, notebook.trans
    offences = []
    if encoder.input_size != dim:
        offences.append(f"trans.input_size={encoder.input_size} is not item_embed.embedding_dim={dim}")
    if dim in (2, 3):
        offences.append(f"with embedding_dim={dim} the notebook's position table is NaN; no trained model can have it")
    if notebook.item_embed.num_embeddings < 2:
        offences.append("item_embed.num_embeddings=1 leaves no item beside padding")
    offences += [
        f"context_features[{place}].num_embeddings=1 is one category; drop the feature and fold it into the bias"
        for place, feature in enumerate(notebook.context_features)
        if feature.num_embeddings < 2
    ]
    if encoder.n_layers < 1:
        offences.append(f"trans.n_layers={encoder.n_layers} is no encoder")
    if offences:
        raise InputError("; ".join(offences))
    values = {
        "num_items": notebook.item_embed.num_embeddings - 1,
        "dim": dim,
        "num_heads": encoder.n_heads,
        "num_blocks": encoder.n_layers,
        "ff_width": encoder.hidden_size,
        "max_length": notebook.max_seq_len,
        "head_widths": (HEAD_WIDTH,),
        "tied_output": False,
        "place_vectors": "sinusoidal",
        "pooling": "mean",
        "padding": "counted",
        "context": [
            {"name": name, "num_categories": feature.num_embeddings - 1, "dim": feature.embedding_dim}
            for name, feature in zip(names, notebook.context_features, strict=True)
        ],
    }
    return validated(BSTConfig, values, "the notebook's config")


def converted(weights: dict[str, Tensor], notebook: NotebookConfig, path: Path) -> dict[str, Tensor]:
    """Rename, join and fold the notebook's weights into those of `BST`.

    Raises:
        InputError: a tensor is missing, unknown, or of another shape than the config says; all of them at once.
    """
    expected = _expected_shapes(notebook)
    offences = [f"{name} is missing" for name in expected if name not in weights]
    offences += [f"{name} is not part of the notebook's model" for name in weights if name not in expected]
    offences += [
        f"{name} is {list(weights[name].shape)}, the config says {list(shape)}"
        for name, shape in expected.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    offences += [
        f"{name} is {tensor.dtype}, not float32" for name, tensor in weights.items() if tensor.dtype != torch.float32
    ]
    offences += [f"{name} does not hold all its numbers" for name, tensor in weights.items() if not is_whole(tensor)]
    if not offences:
        finite = {name: bool(torch.isfinite(tensor).all()) for name, tensor in weights.items()}
        offences += [f"{name} holds NaN or inf" for name, whole in finite.items() if not whole]
    if offences:
        raise InputError(f"{path} does not fit its config: {'; '.join(offences)}")
    dim, heads = notebook.item_embed.embedding_dim, notebook.trans.n_heads
    fold = math.sqrt(dim // heads) / math.sqrt(heads)  # ours divides by sqrt(head width), the notebook by sqrt(heads)
    state = {
        "item_embedding.weight": weights["item_embed.weight"],
        "positions": notebook_positions(notebook.max_seq_len, dim),
        "head.0.weight": weights["mlp.0.weight"],
        "head.0.bias": weights["mlp.0.bias"],
        "output.weight": weights["mlp.2.weight"][1:],
        "output.bias": weights["mlp.2.bias"][1:],
    }
    for place in range(len(notebook.context_features)):
        state[f"context_embeddings.{place}.weight"] = weights[f"context_embeddings.{place}.weight"]
    for place in range(notebook.trans.n_layers):
        theirs, ours = f"encoder.stack.{place}.", f"cells.{place}."
        query, key, value = (weights[f"{theirs}mh_attention._{part}.weight"] for part in ("query", "key", "value"))
        state[f"{ours}attention.query_key_value.weight"] = torch.cat([query * fold, key, value])
        state[f"{ours}attention.dense.weight"] = weights[f"{theirs}mh_attention.dense.weight"]
        for their_name, our_name in (
            ("lnorm_1", "norm_1"),
            ("lnorm_2", "norm_2"),
            ("ff.lin_1", "ff_1"),
            ("ff.lin_2", "ff_2"),
        ):
            for kind in ("weight", "bias"):
                state[f"{ours}{our_name}.{kind}"] = weights[f"{theirs}{their_name}.{kind}"]
    return state


def notebook_positions(length: int, dim: int) -> Tensor:
    """Return the notebook's position table, float32 `[length + 1, dim]`, its last row never used.

    Its rows mix sines and cosines of several positions (audit, M05): the stacked halves `[2, length, dim / 2]` are read
    as `[length, dim]`, transposed, and read again as `[length, dim]`. Rates are 10000^(-i / (dim / 2 - 1)).
    """
    half = dim // 2
    rate = torch.log(torch.tensor(10000)) / (half - 1) if half != 1 else torch.tensor(0.0)
    angles = torch.arange(length, dtype=torch.float32)[:, None] * torch.exp(
        torch.arange(half, dtype=torch.float32) * -rate
    )
    mixed = torch.stack((torch.sin(angles), torch.cos(angles))).reshape(length, 2 * half).t().reshape(length, 2 * half)
    return torch.nn.functional.pad(mixed, (0, dim - 2 * half, 0, 1))


def _expected_shapes(notebook: NotebookConfig) -> dict[str, tuple[int, ...]]:
    dim, ff, items = notebook.item_embed.embedding_dim, notebook.trans.hidden_size, notebook.item_embed.num_embeddings
    shapes: dict[str, tuple[int, ...]] = {"item_embed.weight": (items, dim)}
    for place, feature in enumerate(notebook.context_features):
        shapes[f"context_embeddings.{place}.weight"] = (feature.num_embeddings, feature.embedding_dim)
    for place in range(notebook.trans.n_layers):
        cell = f"encoder.stack.{place}."
        for part in ("_query", "_key", "_value", "dense"):
            shapes[f"{cell}mh_attention.{part}.weight"] = (dim, dim)
        shapes |= {f"{cell}ff.lin_1.weight": (ff, dim), f"{cell}ff.lin_1.bias": (ff,)}
        shapes |= {f"{cell}ff.lin_2.weight": (dim, ff), f"{cell}ff.lin_2.bias": (dim,)}
        for norm in ("lnorm_1", "lnorm_2"):
            shapes |= {f"{cell}{norm}.weight": (dim,), f"{cell}{norm}.bias": (dim,)}
    wide = dim + sum(feature.embedding_dim for feature in notebook.context_features)
    shapes |= {"mlp.0.weight": (HEAD_WIDTH, wide), "mlp.0.bias": (HEAD_WIDTH,)}
    return shapes | {"mlp.2.weight": (items, HEAD_WIDTH), "mlp.2.bias": (items,)}


def _python_config(source: str) -> Any:
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "config" for target in node.targets
        ):
            return ast.literal_eval(node.value)
    raise ValueError("there is no `config = {...}` in it")


def _vocabularies(config: BSTConfig) -> Vocabularies:
    def numbered(count: int) -> Vocabulary:
        return Vocabulary(pl.Series("id", range(1, count + 1), dtype=pl.Int64))

    return Vocabularies(
        numbered(config.num_items), {feature.name: numbered(feature.num_categories) for feature in config.context}
    )
