"""The folder in which the rows of the reliability page are asked, and the files and folders that they name."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors.torch import load_file, save_file

from bst.config import DataConfig
from bst.data.prepared import prepare
from tests.clients.altered import alter, flip_in_the_middle
from tests.reliability.doors.bad_input import read_page

Change = Callable[[bytes], bytes]
DEEP = b"[" * 100_000 + b"]" * 100_000


class Place:
    """A folder that fills as names are asked for. `fixture` gives what the tests share, by name."""

    def __init__(self, folder: Path, fixture: Callable[[str], Any]) -> None:
        self.folder, self.fixture = folder, fixture
        self.names = read_page().names

    def provide(self, text: str) -> None:
        """Make every file and folder that `text` names and that is not there yet."""
        for name in self.names:
            if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text):
                self.make(name)

    def make(self, name: str) -> Path:
        path = self.folder / name
        if os.path.lexists(path) or name == "NEW":
            return path
        content = self.names[name]
        if content is not None:
            path.write_text(content, encoding="utf-8", errors="surrogatepass")
        elif name in SHARED:
            shared = SHARED[name](self.fixture)
            (shutil.copytree if shared.is_dir() else shutil.copy)(shared, path)
        elif name in ALTERED:
            base, file, change = ALTERED[name]
            shutil.copytree(self.make(base), path)
            alter(path, file, change, sealed=name.startswith("SEALED_"))
        else:
            MADE[name](self, path)
        return path


SHARED: dict[str, Callable[[Callable[[str], Any]], Path]] = {
    "events.csv": lambda fixture: fixture("tables")[0],
    "users.csv": lambda fixture: fixture("tables")[1],
    "RUN": lambda fixture: fixture("run_path"),
    "TEXT_RUN": lambda fixture: fixture("make_run")("plain_text", text=True),
    "BUNDLE": lambda fixture: fixture("bundle_path"),
    "TEXT_BUNDLE": lambda fixture: fixture("variants")["text_ids"],
    "CLICK_RUN": lambda fixture: fixture("run_of")("clicks"),
    "CLICK_BUNDLE": lambda fixture: fixture("variants")["clicks"],
    "K_BUNDLE": lambda fixture: fixture("variants")["numbers_k_input"],
}


def becomes(content: bytes) -> Change:
    return lambda _: content


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def stated(**values: object) -> Change:
    """State other values at the top of a JSON file."""
    return lambda content: json.dumps({**json.loads(content), **values}).encode()


def text_for(old: str, new: str) -> Change:
    def changed(content: bytes) -> bytes:
        assert old.encode() in content
        return content.replace(old.encode(), new.encode(), 1)

    return changed


def changed_ids(change: Callable[[list[int]], list[int]]) -> Change:
    def changed(content: bytes) -> bytes:
        values = json.loads(content)
        values["items"]["ids"] = change(values["items"]["ids"])
        return json.dumps(values).encode()

    return changed


def without_cases(content: bytes) -> bytes:
    return json.dumps({**json.loads(content), "cases": [{"name": "full"}]}).encode()


def leading_out(content: bytes) -> bytes:
    values = json.loads(content)
    values["files"][0]["path"] = "../outside"
    return json.dumps(values).encode()


DIM = text_for('"dim": 16', '"dim": 1000000000000')

# What each is made from, which file of it is changed, and how.
ALTERED: dict[str, tuple[str, str, Change]] = {
    "RUN_OF_TOMORROW": ("RUN", "config.json", stated(schema_version=99)),
    "RUN_DEEP": ("RUN", "config.json", becomes(DEEP)),
    "RUN_LATIN": ("RUN", "config.json", becomes('{"é": 1}'.encode("latin-1"))),
    "RUN_NAN": ("RUN", "config.json", text_for('"learning_rate": 0.001', '"learning_rate": NaN')),
    "RUN_TWICE": ("RUN", "config.json", text_for('"schema_version": 2,', '"schema_version": 99, "schema_version": 2,')),
    "RUN_LIST": ("RUN", "config.json", becomes(b"[]")),
    "RUN_HUGE": ("RUN", "config.json", DIM),
    "RUN_CUT": ("RUN", "model.safetensors", half),
    "RUN_EMPTY_WEIGHTS": ("RUN", "model.safetensors", becomes(b"")),
    "RUN_REPEATS": ("RUN", "vocabulary.json", changed_ids(lambda ids: [ids[0], *ids[:-1]])),
    "RUN_SHORT": ("RUN", "vocabulary.json", changed_ids(lambda ids: ids[:-1])),
    "RUN_NOT_LINES": ("RUN", "metrics.jsonl", becomes(b"epoch 1\n")),
    "BUNDLE_OF_TOMORROW": ("BUNDLE", "manifest.json", stated(schema_version=99)),
    "BUNDLE_WITHOUT_FILES": ("BUNDLE", "manifest.json", stated(files=[])),
    "BUNDLE_LEADING_OUT": ("BUNDLE", "manifest.json", leading_out),
    "BUNDLE_DEEP": ("BUNDLE", "manifest.json", becomes(DEEP)),
    "BUNDLE_EMPTY": ("BUNDLE", "manifest.json", becomes(b"")),
    "BUNDLE_TOLERANT": ("BUNDLE", "manifest.json", stated(tolerance=0.5)),
    "BUNDLE_NAN": ("BUNDLE", "manifest.json", stated(tolerance=float("nan"))),
    "BUNDLE_CUT": ("BUNDLE", "onnx/weights.bin", half),
    "BUNDLE_FLIPPED": ("BUNDLE", "onnx/weights.bin", flip_in_the_middle),
    "BUNDLE_SHORT": ("BUNDLE", "vocabulary.json", changed_ids(lambda ids: ids[:-1])),
    "PREPARED_OF_TOMORROW": ("PREPARED", "prepared.json", stated(schema_version=99)),
    "PREPARED_DEEP": ("PREPARED", "prepared.json", becomes(DEEP)),
    "PREPARED_CUT": ("PREPARED", "items.npy", half),
    "PREPARED_FLIPPED": ("PREPARED", "items.npy", flip_in_the_middle),
    "SEALED_GOLDEN": ("BUNDLE", "golden/top_k.json", without_cases),
    "SEALED_DEEP": ("BUNDLE", "golden/top_k.json", becomes(DEEP)),
    "SEALED_CUT": ("BUNDLE", "onnx/weights.bin", half),
    "SEALED_SCRIPT": ("BUNDLE", "torchscript/model.pt", half),
    "SEALED_PROGRAM": ("BUNDLE", "pt2/model.pt2", half),
    "SEALED_GRAPH": ("BUNDLE", "onnx/top_k.onnx", half),
}


def tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    found = load_file(path)
    change(found)
    save_file(found, path)


def run_with_other_weights(place: Place, path: Path) -> None:
    shutil.copytree(place.make("RUN"), path)
    tensors(path / "model.safetensors", lambda found: found.update(extra=torch.zeros(2)))


def run_with_nan(place: Place, path: Path) -> None:
    shutil.copytree(place.make("RUN"), path)
    tensors(path / "model.safetensors", lambda found: next(iter(found.values())).fill_(float("nan")))


def run_with_heldout(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Place, Path], None]:
    def make(place: Place, path: Path) -> None:
        shutil.copytree(place.make("RUN"), path)
        tensors(path / "heldout.safetensors", change)

    return make


def run_without_weights(place: Place, path: Path) -> None:
    shutil.copytree(place.make("RUN"), path, ignore=shutil.ignore_patterns("model.safetensors", "training.safetensors"))


def digits(place: Place, path: Path) -> None:
    shutil.copytree(place.make("RUN"), path)
    (path / "config.json").write_text('{"schema_version": ' + "1" * 5000 + "}")


def bundle_with_a_pipe(place: Place, path: Path) -> None:
    shutil.copytree(place.make("BUNDLE"), path)
    (path / "manifest.json").unlink()
    os.mkfifo(path / "manifest.json")


def cut_parquet(place: Place, path: Path) -> None:
    pl.read_csv(place.make("events.csv")).write_parquet(path)
    path.write_bytes(half(path.read_bytes()))


def float_ids(place: Place, path: Path) -> None:
    pl.read_csv(place.make("events.csv")).with_columns(pl.col("item_id") + 0.5).write_parquet(path)


def users(*rows: int, of_text: bool = False) -> Callable[[Place, Path], None]:
    frame = pl.DataFrame({"user_id": [1, 2], "gender": ["F", None], "region": [4, 5]})
    never = pl.Series([[11], []], dtype=pl.List(pl.Int64))
    lists = frame.with_columns(history=pl.Series([[11, 18], [25]]), never=never)
    texts = lists.with_columns(pl.col("history").cast(pl.List(pl.String)))
    return lambda place, path: (texts if of_text else lists)[list(rows)].write_parquet(path)


def prepared(place: Place, path: Path) -> None:
    prepare([place.make("events.csv")], DataConfig(), path)


def cut_users(place: Place, path: Path) -> None:
    path.write_bytes(half(place.make("users.parquet").read_bytes()))


MADE: dict[str, Callable[[Place, Path], None]] = {
    "PREPARED": prepared,
    "users.parquet": users(0, 1),
    "users_twice.parquet": users(0, 0),
    "users_none.parquet": users(),
    "users_text.parquet": users(0, 1, of_text=True),
    "users_cut.parquet": cut_users,
    "RUN_OF_ANOTHER": run_with_other_weights,
    "RUN_WITH_NAN": run_with_nan,
    "RUN_WITHOUT_WEIGHTS": run_without_weights,
    "RUN_DIGITS": digits,
    "RUN_HELDOUT_MISSING": run_with_heldout(lambda found: found.pop("items")),
    "RUN_HELDOUT_RANK": run_with_heldout(lambda found: found.update(items=found["items"][0].clone())),
    "RUN_HELDOUT_RANGE": run_with_heldout(lambda found: found["items"].fill_(10**6)),
    "RUN_HELDOUT_EMPTY": run_with_heldout(lambda found: found.update(items=found["items"][:0].clone())),
    "BUNDLE_PIPE": bundle_with_a_pipe,
    "EMPTY": lambda place, path: path.mkdir(),
    "FILE": lambda place, path: path.touch(),
    "LOOP": lambda place, path: path.symlink_to(path.name),
    "DANGLING": lambda place, path: path.symlink_to("nowhere"),
    "folder.csv": lambda place, path: path.mkdir(),
    "fifo.csv": lambda place, path: os.mkfifo(path),
    "loop.csv": lambda place, path: path.symlink_to(path.name),
    "dangling.csv": lambda place, path: path.symlink_to("nowhere"),
    "binary.csv": lambda place, path: path.write_bytes(bytes(range(256)) * 8),
    "latin.csv": lambda place, path: path.write_bytes("user_id,item_id,timestamp\n1,café,1\n".encode("latin-1")),
    "cut.csv.gz": lambda place, path: path.write_bytes(half(gzip.compress(place.make("events.csv").read_bytes()))),
    "cut.parquet": cut_parquet,
    "float_ids.parquet": float_ids,
    "deep.toml": lambda place, path: path.write_text("model = " + "[" * 100_000 + "]" * 100_000),
    "deep.json": lambda place, path: path.write_bytes(DEEP),
    "pickle.pt": lambda place, path: torch.save({"a": Path("x")}, path),
    "weights.pt": lambda place, path: torch.save({"a": torch.zeros(2)}, path),
}
