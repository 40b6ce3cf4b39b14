"""Warnings of what would break on a machine, before it breaks."""

import re
from pathlib import Path

import pytest

from bst.system.machine import cpu_flags
from export import open_bundle
from export.contract.manifest import Entry, FormatRecord, Needs
from export.formats.aotinductor_packages import AVX2_FLAGS, cpu_flags_for
from export.formats.compatibility import obstacles, warnings_of


def record(**needs: object) -> FormatRecord:
    stated = Needs.model_validate({"versions": {}, "made_with": {}, **needs})
    entries = {"top_k": Entry(path="x/top_k")}
    return FormatRecord(name="pt2", ids="raw", entries=entries, golden="golden", equal_scores="any order", needs=stated)


def test_what_this_machine_wrote_runs_on_it(bundle_path: Path) -> None:
    assert all(obstacles(one) == [] for one in open_bundle(bundle_path).manifest.formats)


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"machine": "aarch64"}, "is machine code for aarch64, this machine is"),
        ({"cpu_flags": ("avx2", "avx9000")}, "needs the CPU features avx9000, which this CPU has not"),
        ({"versions": {"torch.export schema": "99.1"}}, r"is written in torch\.export schema 99\.1, torch .* reads 8"),
        ({"at_least": {"onnxruntime": "99.0"}}, r"needs onnxruntime 99\.0, here is 1\.\d+"),
    ],
)
def test_an_obstacle_is_named_with_what_is_here(needs: dict[str, object], message: str) -> None:
    (found,) = obstacles(record(**needs))
    assert re.search(message, found)


def test_warnings_tell_of_deprecation_older_libraries_and_the_level_of_ids(bundle_path: Path) -> None:
    manifest = open_bundle(bundle_path).manifest
    told = warnings_of(manifest)
    assert any("TorchScript is deprecated" in line for line in told)
    assert any(line.startswith("pt2: at index level") for line in told)
    newer = record(made_with={"torch": "99.0"})
    older_here = warnings_of(manifest.model_copy(update={"formats": (newer,)}))
    assert "pt2: made with torch 99.0, here is the older" in older_here[0]


def test_a_native_package_needs_all_that_a_compiler_may_use_here() -> None:
    if not set(AVX2_FLAGS) <= cpu_flags():
        pytest.skip("not an x86-64 CPU with AVX2")
    assert set(cpu_flags_for("avx2")) == set(AVX2_FLAGS)
    assert set(AVX2_FLAGS) <= set(cpu_flags_for("native")) <= cpu_flags()
