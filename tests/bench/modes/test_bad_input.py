"""Refusals of what cannot be measured, before anything is."""

from pathlib import Path

import pytest

from bench import BenchConfig, measure_bundle
from bst import InputError
from tests.conftest import Command, refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backends": ("eager", "tvm")}, "backends tvm not known; known: eager, eager-bf16, compile, torchscript"),
        ({"batch_sizes": (1, 0)}, r"batch sizes \[1, 0\] must be 1 or more"),
        ({"threads": (0,)}, r"threads \[0\] must be 1 or more"),
        ({"launches": 1}, "launches=1 of rounds=3 are too few"),
        ({"signature": "encode"}, "signature 'encode' is not in the bundle; known: all_scores, top_k"),
        ({"clients": 0}, "clients=0"),
    ],
)
def test_bad_settings_are_refused_before_any_measuring(bundle_path: Path, change: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure_bundle(bundle_path, BenchConfig(**change))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--batch-sizes", "1,x"), ("'x'", "1,32")),
        (("--batch-sizes", "0"), ("[0]", "must be 1 or more")),
        (("--backends", "tvm"), ("tvm", "onnxruntime")),
        (("--mode", "warp"), ("warp", "latency")),
        (("--lengths", "13"), ("[13]", "12 slots")),
        (("--catalogue-sizes", "5"), ("--catalogue-sizes 5", "--random")),
        (("--random", "dim=16"), ("not both",)),
        (("--peers", "--imported-from", "."), (". has none of model.pth (torch-rechub), feature_map.json (fuxictr)",)),
        (("--json", "no/such/folder/x.json"), ("no/such/folder/x.json cannot be written",)),
        (("--html", "."), ("cannot be written",)),
    ],
)
def test_bad_options_are_one_line_before_any_measuring(
    bst_command: Command, bundle_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(bst_command("bench", bundle_path, *options), *words)


def test_too_little_memory_is_refused_before_opponents_are_built(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.modes.measure.memory_bytes", lambda kind: 1000)
    monkeypatch.setattr("bench.modes.measure.build_peers", lambda *arguments: pytest.fail("opponents were built"))
    with pytest.raises(InputError, match=r"10 backends of weights of .* GB of memory and 0.0 GB are free; name fewer"):
        measure_bundle(bundle_path, BenchConfig(backends=("onnxruntime",), peers=True))


def test_more_threads_than_cores_is_a_warning(bst_command: Command, bundle_path: Path, tmp_path: Path) -> None:
    _, _, err = bst_command("bench", bundle_path, "--threads", 4096, "--html", tmp_path / "no" / "such.html")
    assert "warning: 4096 threads on" in err
    assert "such.html cannot be written" in err
