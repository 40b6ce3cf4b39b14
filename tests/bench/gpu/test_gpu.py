"""The script for a machine with a GPU, as far as a CPU goes: parts in processes of their own, each told of."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.gpu import __main__ as gpu
from bench.gpu import parts as gpu_parts
from bench.gpu.page import gpu_page
from bench.gpu.parts import Job, Part
from bst import CheckError

HERE = ("--device", "cpu", "--small")


@pytest.mark.slow
def test_every_part_runs_on_a_cpu_and_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The limits are those of a machine with a GPU; here other tests take the CPU.
    slower = {name: replace(part, seconds=6 * part.seconds) for name, part in gpu_parts.PARTS.items()}
    monkeypatch.setattr(gpu, "PARTS", slower)
    monkeypatch.setattr(gpu, "SECONDS", 6 * gpu.SECONDS)
    assert gpu.main(["--out", str(tmp_path / "gpu"), *HERE]) == 0
    report = json.loads((tmp_path / "gpu" / "gpu.json").read_text())
    assert {name: one["state"] for name, one in report["parts"].items()} == dict.fromkeys(gpu_parts.PARTS, "passed")
    backends = {row["backend"] for row in report["parts"]["latency"]["rows"]}
    assert backends == {"eager", "torchscript", "onnxruntime", "eager-bf16"}
    assert {row["backend"] for row in report["parts"]["compiled"]["rows"]} == {"eager", "compile"}
    assert report["parts"]["aotinductor"]["missing"] == {"aotinductor-cuda": "device cpu has nothing like it"}
    assert "gloo was used in its place" in report["parts"]["collectives"]["missing"]["nccl"]
    page = (tmp_path / "gpu" / "gpu.html").read_text()
    assert all(word in page for word in ("eager-bf16", "bfloat16", "missing: nccl", "Training", "passed"))


def test_training_in_bfloat16_stays_beside_float32(tmp_path: Path) -> None:
    found = gpu_parts.training(Job(tmp_path, "cpu", small=True))
    assert set(found["runs"]) == {"cpu float32", "cpu bfloat16"}
    assert found["loss_off_by"]["cpu float32"] == 0.0
    assert 0 < found["loss_off_by"]["cpu bfloat16"] <= found["allowed"]


def test_a_loss_that_is_off_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_parts, "LOSSES_AGREE", 1e-9)
    with pytest.raises(CheckError, match=r"losses are off by \{'cpu bfloat16': .* 1e-09 is allowed"):
        gpu_parts.training(Job(tmp_path, "cpu", small=True))


def test_a_world_of_one_process_sums_and_gathers_what_is_there(tmp_path: Path) -> None:
    found = gpu_parts.collectives(Job(tmp_path, "cpu", small=True))
    assert found["backend"] == "gloo"
    assert found["gradients_off_by"] <= found["allowed"]


def _report(parts: dict[str, Any]) -> dict[str, Any]:
    environment = {"cpu": "one", "versions": {"torch": torch.__version__}}
    return {"device": "cpu", "cuda": None, "date": "today", "command": "c", "environment": environment, "parts": parts}


def test_a_part_that_breaks_or_hangs_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = gpu.subprocess.run

    def slow_or_broken(command: list[str], **options: Any) -> Any:
        if "--part" not in command:  # what asks the system for its name
            return run(command, **options)
        name = command[command.index("--part") + 1]
        if name == "slow":
            raise gpu.subprocess.TimeoutExpired(command, options["timeout"])
        return gpu.subprocess.CompletedProcess(command, -9, "", "Traceback\nOut of memory")

    parts = {name: Part(name, "", 5, lambda job: {}) for name in ("slow", "broken")}
    monkeypatch.setattr(gpu, "PARTS", parts)
    monkeypatch.setattr(gpu, "make_bundle", lambda job: None)
    monkeypatch.setattr(gpu.subprocess, "run", slow_or_broken)
    assert gpu.main(["--out", str(tmp_path / "gpu"), *HERE]) == 1
    found = json.loads((tmp_path / "gpu" / "gpu.json").read_text())["parts"]
    assert (found["slow"]["state"], found["broken"]["state"]) == ("out of time", "failed")
    assert found["broken"]["error"] == "exit code -9: Out of memory"
    assert "not done after 5 s" in capsys.readouterr().out


def test_all_parts_together_take_less_than_eight_minutes() -> None:
    assert sum(part.seconds for part in gpu_parts.PARTS.values()) <= gpu.SECONDS < 8 * 60


def test_wrong_answers_fail_a_part_and_are_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Part("latency", "", 5, lambda job: {"failures": ["eager-cuda at batch 1: row 0 is off"], "missing": {}})
    monkeypatch.setattr(gpu, "PARTS", {"latency": wrong})
    gpu._answer(Job(tmp_path, "cpu", small=True), "latency")
    found = json.loads((tmp_path / "latency.json").read_text())
    assert found["state"] == "failed"
    assert "row 0 is off" in gpu_page(_report({"latency": {**found, "seconds": time.monotonic()}}))


def test_a_device_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpu.main(["--out", str(tmp_path / "gpu"), "--device", "npu"]) == 2
    assert capsys.readouterr().err.startswith("error: device 'npu' is not available here; available: cpu")
    assert gpu.main(["--out", str(tmp_path), *HERE]) == 2
    assert "give another --out" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
