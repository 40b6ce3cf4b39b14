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
    assert "golden/top_k.json is altered: sha256 " in client("verify", bundle)[1]["failure"]


@IN_CPP
def test_inputs_that_do_not_fit_one_another_never_reach_the_runtime(
    client: Client, copied: Callable[..., Path]
) -> None:
    code, found, stderr = client("verify", copied("raw_ids", "golden/top_k.json", add_a_user_to_one_input, sealed=True))
    assert (code, found) == (2, None)
    assert stderr.startswith("error: region has shape [2], where batch is 1; top_k takes history int64 ")


@EVERY
def test_a_missing_and_a_strange_file_are_named(client: Client, copied: Callable[..., Path]) -> None:
    bundle = copied("raw_ids")
    (bundle / weights_of(client)).unlink()
    (bundle / "onnx" / "left_behind.bin").write_bytes(b"?")
    code, found, _ = client("verify", bundle)
    assert (code, found["ok"]) == (1, False)
    assert f"{weights_of(client)} is missing" in found["failure"]
    assert "onnx/left_behind.bin is not in the manifest" in found["failure"]
    code, _, stderr = client("recommend", bundle)
    assert code == 1
    assert f"{weights_of(client)} is missing" in stderr


@EVERY
def test_what_lies_outside_or_is_not_listed_is_never_loaded(client: Client, copied: Callable[..., Path]) -> None:
    """A folder behind a link, a link to nowhere, a file without a hash, one of another size than stated."""
    bundle, folder = copied("raw_ids"), weights_of(client).split("/")[0]
    elsewhere = bundle.parent / "elsewhere"
    (bundle / folder).rename(elsewhere)
    (bundle / folder).symlink_to(elsewhere)
    for command in ("verify", "recommend"):
        code, _, stderr = client(command, bundle)
        assert (code, stderr.count("\n")) == (1, 1)
        assert weights_of(client) in stderr
    (bundle / folder).unlink()
    elsewhere.rename(bundle / folder)
    assert client("verify", bundle)[0] == 0
    (bundle / folder / "link").symlink_to("/nowhere")
    assert f"{folder}/link is not in the manifest" in client("verify", bundle)[2]
    (bundle / folder / "link").unlink()

    def forget(manifest: dict[str, Any]) -> None:
        manifest["files"] = [one for one in manifest["files"] if one["path"] != "onnx/weights.bin"]
        manifest["output_layer"] = None

    def grow(manifest: dict[str, Any]) -> None:
        manifest["files"][0]["bytes"] += 1

    original = (bundle / "manifest.json").read_bytes()
    alter(bundle, "manifest.json", forged(forget))
    command = "recommend" if "onnx" in client.formats else "verify"
    code, _, stderr = client(command, bundle)
    assert code == 1
    assert "onnx/weights.bin is not in the manifest" in stderr
    (bundle / "manifest.json").write_bytes(original)
    alter(bundle, "manifest.json", forged(grow))
    code, found, _ = client("verify", bundle)
    assert (code, found["ok"]) == (1, False)


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
