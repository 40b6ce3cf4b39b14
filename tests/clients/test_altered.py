"""Every client finds what was altered in a bundle, says so in the words of `bst`, and runs nothing of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clients.altered import (
    add_a_user_to_one_input,
    alter,
    flip_in_the_middle,
    forged,
    raise_one_score,
    swap_the_best_two,
)
from tests.clients.conftest import EVERY, IN_CPP, Client, one_user
from tests.conftest import Command

COPIES = ("raw_ids", "text_ids")


@pytest.fixture
def copied(bundles: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """Copy a bundle, and alter it where asked; see `alter`."""

    def copy(name: str, path: str = "", change: Callable[[bytes], bytes] = bytes, *, sealed: bool = False) -> Path:
        target = tmp_path / name
        shutil.copytree(bundles[name], target)
        if path:
            alter(target, path, change, sealed=sealed)
        return target

    return copy


def weights_of(client: Client) -> str:
    return "onnx/weights.bin" if "onnx" in client.formats else "torchscript/model.pt"


@EVERY
@pytest.mark.parametrize("name", COPIES)
def test_one_altered_byte_of_the_weights_is_named_and_nothing_runs(
    client: Client, name: str, copied: Callable[..., Path], bst_command: Command
) -> None:
    bundle = copied(name, weights_of(client), flip_in_the_middle)
    code, found, stderr = client("verify", bundle)
    assert code == 1
    assert found == json.loads(bst_command("verify", bundle, "--json")[1]) | {"warnings": []}
    assert f"{weights_of(client)} is altered: sha256 " in found["failure"]
    assert stderr == f"error: {found['failure']}\n"
    code, found, stderr = client("recommend", bundle, *one_user(bundle))
    assert (code, found) == (1, None)
    assert f"{weights_of(client)} is altered: sha256 " in stderr


@EVERY
@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("change", [raise_one_score, swap_the_best_two])
def test_an_altered_golden_value_fails_as_in_bst_verify(
    client: Client, name: str, change: Any, copied: Callable[..., Path], bst_command: Command
) -> None:
    """By its hash, and by its value where the manifest was changed along with it."""
    bundle = copied(name, "golden/top_k.json", change, sealed=True)
    code, found, stderr = client("verify", bundle)
    assert code == 1
    wanted = json.loads(bst_command("verify", bundle, "--json")[1])["failure"]
    assert found["failure"] == wanted.replace("onnx, top_k", f"{client.formats[0]}, top_k")
    assert stderr == f"error: {found['failure']}\n"
    golden = bundle / "golden" / "top_k.json"
    golden.write_bytes(golden.read_bytes() + b" ")
    assert "golden/top_k.json is altered: it has " in client("verify", bundle)[1]["failure"]


@IN_CPP
def test_inputs_that_do_not_fit_one_another_never_reach_the_runtime(
    client: Client, copied: Callable[..., Path]
) -> None:
    code, found, stderr = client("verify", copied("raw_ids", "golden/top_k.json", add_a_user_to_one_input, sealed=True))
    assert (code, found) == (2, None)
    assert stderr.startswith("error: region has shape [2], where batch is 1; top_k takes history int64 ")


@EVERY
def test_a_missing_file_is_named(client: Client, copied: Callable[..., Path]) -> None:
    bundle = copied("raw_ids")
    (bundle / weights_of(client)).unlink()
    code, found, _ = client("verify", bundle)
    assert (code, found["ok"]) == (1, False)
    assert f"{weights_of(client)} is missing" in found["failure"]
    code, _, stderr = client("recommend", bundle)
    assert code == 1
    assert f"{weights_of(client)} is missing" in stderr


@EVERY
def test_what_a_link_leads_to_is_judged_by_its_hash(client: Client, copied: Callable[..., Path]) -> None:
    """A folder behind a link outside of the bundle, whole and altered, and a link to nowhere."""
    bundle, folder = copied("raw_ids"), weights_of(client).split("/")[0]
    elsewhere = bundle.parent / "elsewhere"
    (bundle / folder).rename(elsewhere)
    (bundle / folder).symlink_to(elsewhere)
    assert client("verify", bundle)[0] == 0
    assert client("recommend", bundle)[0] == 0
    weights = elsewhere / Path(weights_of(client)).name
    weights.write_bytes(flip_in_the_middle(weights.read_bytes()))
    for command in ("verify", "recommend"):
        code, _, stderr = client(command, bundle)
        assert (code, stderr.count("\n")) == (1, 1)
        assert f"{weights_of(client)} is altered: sha256 " in stderr
    weights.unlink()
    weights.symlink_to("/nowhere")
    assert f"{weights_of(client)} is missing" in client("recommend", bundle)[2]


@EVERY
def test_a_size_that_the_manifest_does_not_state_is_named(client: Client, copied: Callable[..., Path]) -> None:
    def grow(manifest: dict[str, Any]) -> None:
        record = next(one for one in manifest["files"] if one["path"] == "model.safetensors")
        record["bytes"] += 1

    code, found, _ = client("verify", copied("raw_ids", "manifest.json", forged(grow)))
    assert (code, found["ok"]) == (1, False)
    assert "model.safetensors is altered: it has " in found["failure"]


@EVERY
def test_text_for_people_and_files_of_others_are_notes_as_in_bst_verify(
    client: Client, bundles: dict[str, Path], tmp_path: Path, bst_command: Command
) -> None:
    bundle = tmp_path / "bundle"
    small = bundles["onnx_top_k" if "onnx" in client.formats else "script_top_k"]
    shutil.copytree(small, bundle)
    folder = client.formats[0]
    (bundle / "README.md").write_bytes((bundle / "README.md").read_bytes().replace(b"\n", b"\r\n"))
    for name in (".DS_Store", ".gitattributes", "MLmodel", f"{folder}/.nfs0001"):
        (bundle / name).touch()
    (bundle / "notes" / "old").mkdir(parents=True)
    (bundle / "notes" / "old" / "list.txt").touch()
    (bundle / "linked").symlink_to(tmp_path)
    (bundle / "hollow").mkdir()
    (bundle / "..2026_01").mkdir()
    (bundle / "..data").symlink_to("..2026_01")
    (bundle / "golden" / "top_k.json").unlink()
    code, found, stderr = client("verify", bundle)
    assert (code, stderr) == (0, "")
    wanted = json.loads(bst_command("verify", bundle, "--json")[1])
    assert found["verdicts"] == wanted["verdicts"]
    assert [one["cases"] for one in found["verdicts"]] == [0]
    assert found["warnings"][-3:] == wanted["warnings"][-3:]
    assert found["warnings"][-3:] == [
        "README.md was edited since the export; it is text for people",
        "left out, and not replayed: golden/top_k.json",
        "not of the bundle, and left alone: .DS_Store, .gitattributes, MLmodel, hollow/, linked/, and 2 more",
    ]
    assert client("recommend", bundle)[0] == 0


@EVERY
def test_json_that_is_nested_without_end_ends_no_process(client: Client, copied: Callable[..., Path]) -> None:
    deep = b'{"schema_version": ' + b"[" * 300_000 + b"]" * 300_000 + b", "
    bundle = copied("raw_ids", "manifest.json", lambda content: content.replace(b"{", deep, 1))
    code, found, stderr = client("recommend", bundle)
    assert (code == 2 and found is None and stderr.startswith("error: ")) or (code == 0 and client.name == "node")


@EVERY
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda manifest: manifest.update(schema_version=2), "schema_version=2, this version reads 4.*; export again"),
        (lambda manifest: manifest.update(tolerance=0.5), "is not above 0 and at most 1e-05"),
        (lambda manifest: manifest["files"][0].update(path="../outside"), "../outside leads out of the bundle"),
        (lambda manifest: manifest["formats"].clear(), "it holds no format or no signature"),
        (
            lambda manifest: manifest["formats"][0]["entries"]["top_k"].update(path="onnx/other.onnx"),
            "onnx/other.onnx is not among its files",
        ),
    ],
)
def test_a_manifest_that_states_what_it_must_not_is_refused(
    client: Client, change: Any, words: str, copied: Callable[..., Path]
) -> None:
    bundle = copied("raw_ids", "manifest.json", forged(change))
    for command in ("verify", "recommend"):
        code, found, stderr = client(command, bundle)
        assert (code, found, stderr.count("\n")) == (2, None, 1)
        assert words in stderr


@EVERY
def test_a_runtime_older_than_the_bundle_asks_for_is_named(client: Client, copied: Callable[..., Path]) -> None:
    library = "onnxruntime" if "onnx" in client.formats else "torch"

    def newer(manifest: dict[str, Any]) -> None:
        for record in manifest["formats"]:
            record["needs"]["at_least"] = {library: "99.1"}

    code, found, _ = client("verify", copied("raw_ids", "manifest.json", forged(newer)))
    assert code == 1
    assert f"needs {library} 99.1, here is " in found["failure"]


@pytest.mark.slow
@pytest.mark.parametrize("client", ["cpp-libtorch"], indirect=True)
def test_machine_code_never_sees_inputs_that_do_not_fit(client: Client, compiled_bundle: Path, tmp_path: Path) -> None:
    """It would read out of bounds: AOTInductor looks at no shape."""
    shutil.copytree(compiled_bundle, tmp_path / "bundle")
    alter(tmp_path / "bundle", "golden/top_k.json", add_a_user_to_one_input, sealed=True)
    code, found, stderr = client("verify", tmp_path / "bundle")
    assert (code, found) == (2, None)
    assert stderr.startswith("error: region has shape [2], where batch is 1; top_k takes history int64 ")
