"""`bst export`, `bst verify` and `bst recommend`: what they print, and one line where they cannot."""

import json
import shutil
from pathlib import Path

import pytest

from export.contract.rules import read_manifest
from tests.conftest import Command, refused, settings_of


def test_a_truncated_weight_file_is_one_line(bst_command: Command, run_path: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(run_path, tmp_path / "run")
    (copied / "model.safetensors").write_bytes((copied / "model.safetensors").read_bytes()[:1000])
    refused(bst_command("export", copied, "--out", tmp_path / "bundle"), "model.safetensors", "cut short")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--k", "41"), ("k=41", "40 items")),
        (("--k", "0"), ("limit=0", "greater than or equal to 1")),
        (("--formats", "onnx,tflite"), ("format 'tflite' is not known", "known: onnx, torchscript, pt2, aotinductor")),
        (("--formats", ""), ("formats", "at least 1 item")),
        (("--ids", "names"), ("'names'", "'raw' or 'index'")),
        (("--opset", "12"), ("opset 12", "known: 18, 20, 21, 23")),
        (("--k", "3", "--max-k", "5"), ("--k 3", "--max-k 5", "one of them")),
        (("--into", "there"), ("--out", "--into", "not both")),
    ],
)
def test_bad_options_of_export_are_one_line(
    bst_command: Command, run_path: Path, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(bst_command("export", run_path, "--out", tmp_path / "bundle", *options), *words)
    assert list(tmp_path.iterdir()) == []


def test_export_needs_to_be_told_where(bst_command: Command, run_path: Path) -> None:
    refused(bst_command("export", run_path), "--out", "--into")


def test_a_refresh_keeps_the_settings_and_refuses_others(
    bst_command: Command, run_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    refused(bst_command("export", run_path, "--into", bundle_path, "--k", 3), "keeps the settings", "top_k", "--out")
    refused(bst_command("export", run_path, "--into", tmp_path / "none"), "none is not a bundle")


def test_a_run_of_a_later_schema_is_one_line(bst_command: Command, run_path: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(run_path, tmp_path / "run")
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "schema_version": 99}))
    refused(bst_command("export", copied, "--out", tmp_path / "bundle"), "schema_version=99", "reads 2")


def test_export_prints_the_budget(bundle_path: Path) -> None:
    printed = bundle_path.with_name("printed.txt").read_text()
    heads = ("max error", "adds", "alone", "padded", "permuted", "tied swaps")
    for word in (*heads, "score_candidates", "pt2: at index level"):
        assert word in printed


def test_the_options_of_export_are_what_the_bundle_was_exported_with(variants: dict[str, Path]) -> None:
    assert read_manifest(variants["numbers_k_input"]).settings == settings_of("numbers_k_input")


def test_recommend_asks_for_k_and_leaves_out_the_history_in_every_backend(
    bst_command: Command, variants: dict[str, Path]
) -> None:
    held = (("numbers_k_input", "onnxruntime"), ("numbers_k_input", "torchscript"), ("numbers_program", "pt2"))
    asked = ("--history", "11,18", "--json", "--k", 3)
    answers = [
        json.loads(bst_command("recommend", variants[variant], *asked, "--backend", name)[1]) for variant, name in held
    ]
    assert len(answers[0]["item_ids"]) == 3
    assert answers[0]["item_ids"] == answers[1]["item_ids"] == answers[2]["item_ids"]
    assert not {11, 18} & set(answers[0]["item_ids"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--history", "11,abc"), ("'abc'", "integers")),
        (("--history", "99999999999999999999"), ("64 bits",)),
        (("--context", "height=3"), ("'height=3'", "gender, region")),
        (("--context", "gender"), ("'gender'", "NAME=VALUE")),
        (("--context", "region=north"), ("'north'", "integers")),
        (("--backend", "tensorrt"), ("'tensorrt'", "known: eager, onnxruntime, torchscript, pt2")),
    ],
)
def test_bad_options_of_recommend_are_one_line(
    bst_command: Command, bundle_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused(bst_command("recommend", bundle_path, *options), *words)


def test_a_bundle_of_indices_still_recommends_raw_ids(bst_command: Command, variants: dict[str, Path]) -> None:
    ask = ("--history", "item-11,item-18", "--context", "gender=F", "--json")
    raw, index = (json.loads(bst_command("recommend", variants[kind], *ask)[1]) for kind in ("text_ids", "index"))
    assert raw["item_ids"][0].startswith("item-")
    assert raw["item_ids"] == index["item_ids"]


def test_a_cold_start_user_gets_recommendations(bst_command: Command, bundle_path: Path) -> None:
    code, out, err = bst_command("recommend", bundle_path)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 5


def test_a_bundle_that_was_altered_exits_with_one(bst_command: Command, bundle_path: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(bundle_path, tmp_path / "bundle")
    (copied / "vocabulary.json").write_text((copied / "vocabulary.json").read_text() + " ")
    code, out, err = bst_command("verify", copied, "--json")
    assert code == 1
    assert json.loads(out)["ok"] is False
    assert "vocabulary.json is altered" in err
