"""Every reader of files that may come from strangers, and valid files for each."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from bench.record.record import read_record
from bst import DataConfig, Dataset, Settings, TrainConfig, load_run, read_interactions, train
from bst.errors import CheckError, InputError
from bst.imports.notebook import NotebookConfig, _expected_shapes, import_notebook, read_notebook_config
from bst.run.folder import read_vocabularies
from bst.run.state_file import load_state
from bst.settings_file import read_settings
from export import ExportSettings, TopK, export_bundle, open_bundle, verify_bundle
from export.contract.contents import list_files
from export.contract.model_signatures import build_signatures
from export.contract.rules import read_manifest
from export.formats.onnx.check import check_onnx
from export.formats.pt2_archive import load_pt2, save_pt2
from export.formats.torchscript_archive import load_torchscript
from export.proof.golden import read_golden
from export.serving.scorer import Scorer, ServedModel
from export.sessions.session import OnnxSession, Session
from tests.clients.altered import alter
from tests.conftest import TINY, write_events, write_users

SIZES = {"dim": 4, "num_blocks": 1, "ff_width": 4, "max_length": 3, "head_widths": (4,), "context_dim": 2}
SETTINGS = Settings(
    model=TINY.model_copy(update=SIZES),
    training=TrainConfig(epochs=2, batch_events=150),
    data=DataConfig(context=("gender", "region")),
)
TOP_K = TopK(limit=5)
NOTEBOOK = {
    "item_embed": {"num_embeddings": 5, "embedding_dim": 4},
    "trans": {"input_size": 4, "hidden_size": 8, "n_layers": 1, "n_heads": 2},
    "context_features": [{"num_embeddings": 3, "embedding_dim": 2}],
    "max_seq_len": 3,
}
CALL = {
    "history": np.array([[11, 18, 25, 0], [0, 0, 0, 5]]),
    "gender": np.array(["F", ""], dtype=object),
    "region": np.array([4, 9]),
}
TABLES = (
    *("events.csv", "events.tsv", "events.csv.gz", "events.parquet", "users.csv"),
    *("events.dat", "events.jsonl", "lists.parquet", "lists.csv"),
)
RECORD = Path(__file__).parents[3] / "docs" / "results" / "top_k-500000.json"
TOML = """[model]
dim = 16
head_widths = [24, 8]
pooling = "mean"
[training]
learning_rate = 1e-3
schedule = "multistep"
milestones = [3, 5]
filter_seen = true
[data]
user_column = "user"
context = ["gender", "region"]
"""


@dataclass(frozen=True)
class Reader:
    """`read` is given the folder of all files and the name of the one, among `files`, that was changed."""

    files: tuple[str, ...]
    read: Callable[[Path, str], Any]


def make_files(folder: Path) -> None:
    """Write what every reader reads. The same from one call to the next, but for names and dates."""
    events, users = write_events(folder / "events.csv", users=12, items=8), write_users(folder / "users.csv", users=12)
    frame = pl.read_csv(events)
    frame.write_csv(folder / "events.tsv", separator="\t")
    frame.write_parquet(folder / "events.parquet")
    (folder / "events.dat").write_text(events.read_text().replace(",", "::"))
    frame.write_ndjson(folder / "events.jsonl")
    lists = frame.group_by("user_id", maintain_order=True).agg("item_id", "timestamp")
    lists.write_parquet(folder / "lists.parquet")
    lists.with_columns(
        pl.format("[{}]", pl.col(name).cast(pl.List(pl.String)).list.join(", ")).alias(name)
        for name in ("item_id", "timestamp")
    ).write_csv(folder / "lists.csv")
    (folder / "events.csv.gz").write_bytes(gzip.compress(events.read_bytes()))
    (folder / "train.toml").write_text(TOML)
    (folder / "notebook.json").write_text(json.dumps(NOTEBOOK))
    (folder / "notebook.py").write_text(f"config = {NOTEBOOK!r}\n")
    shutil.copy(RECORD, folder / "record.json")
    shapes = _expected_shapes(NotebookConfig.model_validate_json(json.dumps(NOTEBOOK), strict=False))
    weights = {name: torch.arange(torch.Size(shape).numel()).reshape(shape) / 100 for name, shape in shapes.items()}
    torch.save(weights, folder / "weights.pt")
    _make_run_and_bundle(folder, events, users)


def _make_run_and_bundle(folder: Path, events: Path, users: Path) -> None:
    once = SETTINGS.model_copy(update={"training": TrainConfig(epochs=1, batch_events=150)})
    train(Dataset.build(read_interactions(events, SETTINGS.data, users)), once, folder / "run")
    config = (folder / "run" / "config.json").read_text()
    (folder / "run" / "config.json").write_text(config.replace('"epochs": 1', '"epochs": 2'))  # half-way
    export_bundle(
        folder / "run", folder / "bundle", ExportSettings(top_k=TOP_K, formats=("onnx", "torchscript"), shortlist=False)
    )
    run = load_run(folder / "run")
    signatures = build_signatures(run.config.model, run.vocabularies, top_k=TOP_K, ids="index")
    served = ServedModel(Scorer(run.model, run.config.model, TOP_K), None, run.config.model).eval()
    save_pt2(served, signatures[:1], folder / "model.pt2", metadata={})
    _shorten(folder / "bundle")


def _shorten(bundle: Path) -> None:
    """Leave one signature a format and a few golden cases, so that a bundle verifies in a moment."""
    for path in sorted((bundle / "golden").iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            golden = json.loads(path.read_text())
            path.write_text(json.dumps({**golden, "cases": golden["cases"][3:6]}))
    manifest = json.loads((bundle / "manifest.json").read_text())
    for record in manifest["formats"]:
        record["entries"] = {"top_k": record["entries"]["top_k"]}
    manifest["parity"] = manifest["parity"][:1]
    manifest["files"] = [record.model_dump() for record in list_files(bundle)]
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def _table(folder: Path, file: str) -> Any:
    events = folder / ("events.csv" if file == "users.csv" else file)
    return Dataset.build(read_interactions(events, SETTINGS.data, folder / "users.csv"))


@contextmanager
def _new(folder: Path) -> Iterator[Path]:
    path = folder / "another-run"
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _notebook(folder: Path, file: str) -> Any:
    with _new(folder) as out:
        return import_notebook(folder / "weights.pt", folder / "notebook.json", out)


def _resume(folder: Path, _: str) -> Any:
    dataset = Dataset.build(read_interactions(folder / "events.csv", SETTINGS.data, folder / "users.csv"))
    with _new(folder) as out:
        shutil.copytree(folder / "run", out)
        return train(dataset, SETTINGS, out, resume=True)


def _session(folder: Path, file: str) -> Any:
    """Open `top_k` and ask it, as a program that has the signature from elsewhere does."""
    signature = read_manifest(folder / "bundle").signature("top_k")
    session = OnnxSession(signature, folder / "bundle" / "onnx" / "top_k.onnx", 1)
    return _asked(session, "top_k.onnx")


def _asked(session: Session, name: str) -> Any:
    """Call a session. Who calls one has it, so that what it says of a call need not name a file."""
    try:
        return session(CALL)
    except (InputError, CheckError) as error:
        raise type(error)(f"{name}: {error}") from error


def _opened(folder: Path, backend: str) -> Any:
    return _asked(open_bundle(folder / "bundle").session(backend), "bundle")


def _golden(folder: Path, _: str) -> Any:
    return read_golden(folder / "bundle" / "golden", read_manifest(folder / "bundle").signature("score_candidates"))


def _verify(folder: Path, file: str) -> Any:
    if file != "bundle/manifest.json":  # its hash is stated anew, as a forger would
        alter(folder / "bundle", file.removeprefix("bundle/"), lambda content: content, sealed=True)
    return list(verify_bundle(folder / "bundle"))


def _check(folder: Path, _: str) -> None:
    signature = read_manifest(folder / "bundle").signature("top_k")
    check_onnx(folder / "bundle" / "onnx" / "top_k.onnx", signature)


GRAPH, SCRIPT = "bundle/onnx/top_k.onnx", "bundle/torchscript/model.pt"
GOLDEN = tuple(f"bundle/golden/{name}.json" for name in ("top_k", "all_scores", "encode_user"))
RUN = tuple(
    f"run/{name}"
    for name in ("config.json", "vocabulary.json", "metrics.jsonl", "model.safetensors", "heldout.safetensors")
)
STATE = "run/training.safetensors"
READERS: dict[str, Reader] = {
    "settings": Reader(("train.toml",), lambda folder, file: read_settings(folder / file)),
    "notebook_config": Reader(
        ("notebook.json", "notebook.py"), lambda folder, file: read_notebook_config(folder / file)
    ),
    "notebook": Reader(("weights.pt", "notebook.json"), _notebook),
    "run": Reader(RUN, lambda folder, file: load_run(folder / "run")),
    "vocabulary": Reader(("run/vocabulary.json",), lambda folder, file: read_vocabularies(folder / "run", "a run")),
    "state": Reader((STATE,), lambda folder, file: load_state(folder / "run")),
    "resume": Reader((STATE, STATE, STATE, *RUN), _resume),
    "table": Reader(TABLES, _table),
    "bundle": Reader(
        ("bundle/manifest.json", "bundle/vocabulary.json"), lambda folder, file: open_bundle(folder / "bundle")
    ),
    "session": Reader(("bundle/manifest.json",), lambda folder, file: _opened(folder, "onnxruntime")),
    "eager": Reader(("bundle/manifest.json", SCRIPT), lambda folder, file: _opened(folder, "eager")),
    "output_layer": Reader(
        ("bundle/manifest.json",), lambda folder, file: open_bundle(folder / "bundle").output_layer()
    ),
    "golden": Reader(("bundle/golden/score_candidates.json",), _golden),
    "record": Reader(("record.json",), lambda folder, file: read_record(folder / file)),
    "torchscript": Reader((SCRIPT,), lambda folder, file: load_torchscript(folder / file, freeze=("top_k",))),
    "pt2": Reader(("model.pt2",), lambda folder, file: load_pt2(folder / file, "all_scores")),
    "onnx": Reader((GRAPH, GRAPH, "bundle/onnx/weights.bin"), _session),
    "check_onnx": Reader((GRAPH,), _check),
    "verify": Reader(("bundle/manifest.json", *GOLDEN, GRAPH, "bundle/onnx/weights.bin", SCRIPT), _verify),
}


def _planted(folder: Path, file: str) -> None:
    """Break as `PLANTED` says, where the file is not whole."""
    if len((folder / file).read_bytes()) < 10:
        PLANTED[file][1]()


PLANTED: dict[str, tuple[str, Callable[[], object]]] = {  # what is told, and what is done
    "train.toml": ("KeyError", lambda: {}["planted"]),
    "notebook.json": ("SIGABRT", os.abort),
    "record.json": ("TrespassError", lambda: os.system("true")),
    "events.csv": ("no answer in 2 s", lambda: time.sleep(60)),
    "notebook.py": ("TrespassError", lambda: Path("stray").mkdir()),  # which is not held against the next
    "users.csv": ("MemoryError", lambda: bytearray(2**32)),
}
BROKEN = Reader(tuple(PLANTED), _planted)  # with it a test sees that faults are found
