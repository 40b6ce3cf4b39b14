"""The model card speaks of its own model, and every program on it runs as it stands and gives the bundle's answer."""

import json
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

import bst
from bst import DataConfig, Dataset, InputError, Settings, TrainConfig, read_interactions, train
from export import ExportSettings, export_bundle, open_bundle
from export.handout import write_card
from export.handout.snippets import example
from tests.clients.ort_root import HEADERS, headers_are_newer, make_ort_root
from tests.conftest import TINY, write_events

NODE_MODULES = Path(__file__).parents[3] / "clients" / "js" / "node_modules"
VARIANTS = ("raw_ids", "text_ids", "numbers_k_input", "index")


PROGRAM = re.compile(r"^([^\n]+):\n\n```[a-z]+\n(.*?)\n```\n\n```sh\n(.*?)\n```$", re.M | re.S)


def snippets(bundle: Path) -> dict[str, str]:
    """The programs on the card, by title."""
    return {title: code for title, code, _ in PROGRAM.findall((bundle / "README.md").read_text())}


def commands(bundle: Path) -> dict[str, list[str]]:
    """The shell lines below each program."""
    return {title: lines.splitlines() for title, _, lines in PROGRAM.findall((bundle / "README.md").read_text())}


def beside(bundle: Path, folder: Path, name: str, program: str) -> Path:
    """Put a program of the card, and the bundle, into `folder`, as the card says; give the bundle."""
    (folder / name).write_text(program)
    return shutil.copytree(bundle, folder / "bundle", ignore=shutil.ignore_patterns("golden"))


def expected(path: Path, backend: str = "onnxruntime") -> tuple[list[str], list[float]]:
    """Ids and scores that the bundle gives for the example of the card."""
    bundle = open_bundle(path)
    signature = bundle.manifest.signature("top_k")
    dtypes = {"int64": np.int64, "float32": np.float32, "string": object}
    inputs = {
        given.name: np.array(given.values, dtype=dtypes[given.dtype]).reshape(given.shape)
        for given in example(
            signature, bundle.vocabularies, bundle.manifest.model, bundle.manifest.settings.top_k.limit
        )
    }
    answer = bundle.session(backend)(inputs)
    return [str(one) for one in answer[signature.output_names[0]][0]], answer["scores"][0].tolist()


def read_lines(printed: str) -> tuple[list[str], list[float]]:
    pairs = [line.rsplit(" ", 1) for line in printed.strip().splitlines()]
    return [one for one, _ in pairs], [float(score) for _, score in pairs]


def test_the_card_speaks_of_this_model(bundle_path: Path) -> None:
    card = (bundle_path / "README.md").read_text()
    assert "scores 40 items" in card
    assert "`gender` (2 categories, '' if unknown)" in card
    assert "onnxruntime 1.19.0 or later" in card
    assert "TorchScript is deprecated" in card
    assert "pt2 is at index level" in card
    assert list(snippets(bundle_path)) == ["Python", "C++ (ONNX Runtime)", "Node", "TorchScript", "torch.export"]
    assert f"`bst` {bst.__version__} on {date_of_tests()} from the run" in card
    assert "do not `pip install bst`" in card
    assert "## Licence and data" in card


@pytest.mark.bundle
def test_features_of_items_that_are_part_of_the_tables_are_named(tmp_path: Path) -> None:
    rows = "".join(f"{7 * place + 11},b{place % 4},{place}\n" for place in range(40))
    (tmp_path / "items.csv").write_text(f"item_id,brand,price\n{rows}")
    data = DataConfig(item_features=("brand",), item_numbers=("price",))
    dataset = Dataset.build(read_interactions(write_events(tmp_path / "events.csv"), data))
    settings = Settings(model=TINY, training=TrainConfig(epochs=1, batch_events=150), data=data)
    train(dataset.with_items(tmp_path / "items.csv", data), settings, tmp_path / "run")
    exported = ExportSettings(formats=("torchscript",), signatures=("encode_user",))
    manifest = export_bundle(tmp_path / "run", tmp_path / "bundle", exported)
    assert manifest.item_features == ("brand", "price")
    assert [spec.name for spec in manifest.signature("encode_user").inputs] == ["history"]
    assert "What items have (brand, price) is part of the tables" in (tmp_path / "bundle" / "README.md").read_text()


def date_of_tests() -> str:
    return datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC).date().isoformat()


def test_the_card_says_the_day_of_the_export_or_of_the_source(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = open_bundle(bundle_path)

    def card() -> str:
        write_card(tmp_path, bundle.manifest, bundle.vocabularies)
        return (tmp_path / "README.md").read_text()

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert " on 1970-01-01 from the run" in card()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH='yesterday' is no date; give seconds since 1970"):
        card()
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    before = datetime.now(UTC).date()
    assert re.findall(r" on (\S+) from the run", card())[0] in {str(before), str(datetime.now(UTC).date())}


def test_what_the_card_installs_are_the_versions_that_were_tried(bundle_path: Path) -> None:
    lines = commands(bundle_path)
    for title, packages in (
        ("Python", "onnxruntime numpy"),
        ("TorchScript", "torch numpy"),
        ("torch.export", "torch numpy"),
    ):
        tried = " ".join(f"{name}=={version(name).partition('+')[0]}" for name in packages.split())
        assert lines[title][0] == f"pip install {tried}"
    ours = json.loads((NODE_MODULES.parent / "node" / "package.json").read_text())["dependencies"]["onnxruntime-node"]
    assert lines["Node"][0] == f"npm install --ignore-scripts --prefix .. onnxruntime-node@{ours}"


def test_programs_of_torch_keep_no_graph_of_gradients(bundle_path: Path) -> None:
    for title in ("TorchScript", "torch.export"):
        assert "with torch.inference_mode():" in snippets(bundle_path)[title]


@pytest.mark.parametrize(
    "variant",
    ["raw_ids", "text_ids", *(pytest.param(one, marks=pytest.mark.slow) for one in ("numbers_k_input", "index"))],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_the_python_programs_of_the_card_run(
    variants: dict[str, Path], variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = variants[variant]
    ids, scores = expected(path)
    monkeypatch.chdir(path)
    programs = snippets(path)
    assert {"Python", "TorchScript"} <= programs.keys()
    for title in {"Python", "TorchScript", "torch.export"} & programs.keys():
        found: dict[str, object] = {}
        exec(programs[title], found)
        got = found["scores"]
        values = got.detach().numpy() if isinstance(got, torch.Tensor) else got
        assert np.allclose(values[0], scores, atol=1e-5), title  # type: ignore[index]
        if title == "Python":
            name = open_bundle(path).manifest.signature("top_k").output_names[0]
            assert [str(one) for one in found[name][0]] == ids  # type: ignore[index]


@pytest.mark.skipif(
    not (NODE_MODULES / "onnxruntime-node").exists(), reason="no onnxruntime-node: npm was not there to install it"
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_node_program_of_the_card_runs(variants: dict[str, Path], variant: str, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    folder = beside(variants[variant], tmp_path, "program.mjs", snippets(variants[variant])["Node"])
    start = commands(folder)["Node"][-1].split()
    done = subprocess.run(start, cwd=folder, capture_output=True, text=True, check=True)
    ids, scores = read_lines(done.stdout)
    wanted = expected(variants[variant])
    assert ids == wanted[0]
    assert scores == pytest.approx(wanted[1], abs=1e-5)


@pytest.mark.skipif(not HEADERS.exists(), reason="no C++ headers: npm was not there")
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
@pytest.mark.parametrize(
    "variant",
    ["raw_ids", *(pytest.param(one, marks=pytest.mark.slow) for one in ("numbers_k_input", "text_ids", "index"))],
)
def test_the_cpp_program_of_the_card_compiles_and_runs(variants: dict[str, Path], variant: str, tmp_path: Path) -> None:
    if headers_are_newer():
        pytest.skip("the C++ headers are those of a later ONNX Runtime")
    root = make_ort_root(tmp_path / "ort")
    program = snippets(variants[variant])["C++ (ONNX Runtime)"]
    folder = beside(variants[variant], tmp_path, "program.cpp", program)
    build, start = "\n".join(commands(folder)["C++ (ONNX Runtime)"]).rsplit("\n", 1)
    strictly = build.replace("g++ ", "g++ -Wall -Werror ")
    subprocess.run(["sh", "-ec", strictly], cwd=folder, env={**os.environ, "ORT": str(root)}, check=True)
    done = subprocess.run([start], cwd=folder, capture_output=True, text=True, check=True)
    ids, scores = read_lines(done.stdout)
    wanted = expected(variants[variant])
    assert ids == wanted[0]
    assert scores == pytest.approx(wanted[1], abs=1e-5)
