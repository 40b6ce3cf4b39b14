"""The model card speaks of its own model, and every program on it runs as it stands and gives the bundle's answer."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from export import open_bundle
from export.handout.snippets import example
from tests.clients.ort_root import HEADERS, headers_are_newer, make_ort_root

NODE_MODULES = Path(__file__).parents[3] / "clients" / "node" / "node_modules"
VARIANTS = ("raw_ids", "text_ids", "numbers_k_input", "index")


def snippets(bundle: Path) -> dict[str, str]:
    """The programs on the card, by title."""
    return dict(re.findall(r"^([^\n]+):\n\n```[a-z]+\n(.*?)\n```$", (bundle / "README.md").read_text(), re.M | re.S))


def expected(path: Path, backend: str = "onnxruntime") -> tuple[list[str], list[float]]:
    """Ids and scores that the bundle gives for the example of the card."""
    bundle = open_bundle(path)
    signature = bundle.manifest.signature("top_k")
    dtypes = {"int64": np.int64, "string": object}
    inputs = {
        given.name: np.array(given.values, dtype=dtypes[given.dtype]).reshape(given.shape)
        for given in example(signature, bundle.vocabularies, bundle.manifest.settings.top_k.limit)
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


@pytest.mark.parametrize("variant", VARIANTS)
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
    (tmp_path / "program.mjs").write_text(snippets(variants[variant])["Node"])
    done = subprocess.run(
        ["node", tmp_path / "program.mjs"], cwd=variants[variant], capture_output=True, text=True, check=True
    )
    ids, scores = read_lines(done.stdout)
    wanted = expected(variants[variant])
    assert ids == wanted[0]
    assert scores == pytest.approx(wanted[1], abs=1e-5)


@pytest.mark.skipif(not HEADERS.exists(), reason="no C++ headers: npm was not there")
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
@pytest.mark.parametrize(
    "variant",
    ["raw_ids", "numbers_k_input", *(pytest.param(one, marks=pytest.mark.slow) for one in ("text_ids", "index"))],
)
def test_the_cpp_program_of_the_card_compiles_and_runs(variants: dict[str, Path], variant: str, tmp_path: Path) -> None:
    if headers_are_newer():
        pytest.skip("the C++ headers are those of a later ONNX Runtime")
    root = make_ort_root(tmp_path / "ort")
    (tmp_path / "program.cpp").write_text(snippets(variants[variant])["C++ (ONNX Runtime)"])
    build = ["g++", "-std=c++17", "-Wall", "-Werror", "program.cpp", f"-isystem{root}/include", f"-L{root}/lib"]
    subprocess.run([*build, "-lonnxruntime", f"-Wl,-rpath,{root}/lib", "-o", "program"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "program"], cwd=variants[variant], capture_output=True, text=True, check=True)
    ids, scores = read_lines(done.stdout)
    wanted = expected(variants[variant])
    assert ids == wanted[0]
    assert scores == pytest.approx(wanted[1], abs=1e-5)
