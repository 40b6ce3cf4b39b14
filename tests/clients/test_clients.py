"""Every client says of a bundle what `bst` says of it: the same ids, the same verdict, the same refusals."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import open_bundle
from tests.clients.altered import forged, give_names
from tests.clients.conftest import EVERY, Client, one_user, readme_commands
from tests.conftest import Command

DEMO = pytest.param("demo", marks=pytest.mark.slow)  # trained and exported for this alone
ML_1M = pytest.param("ml_1m", marks=pytest.mark.slow)  # histories of 50: longer than all others together


@EVERY
@pytest.mark.parametrize(
    "name", [DEMO, ML_1M, "raw_ids", "text_ids", "numbers_k_input", "index", "index_no_context", "length_one"]
)
def test_verify_gives_the_verdict_of_bst_verify(
    client: Client, name: str, bundles: dict[str, Path], reference: Callable[..., dict[str, Any]]
) -> None:
    code, found, stderr = client("verify", bundles[name])
    assert (code, stderr) == (0, "")
    wanted = reference(name, client.formats)
    manifest = open_bundle(bundles[name]).manifest
    assert [one["signature"] for one in wanted["verdicts"]] == list(manifest.settings.signatures)
    for one, other in zip(found["verdicts"], wanted["verdicts"], strict=True):
        assert one.pop("max_error") == pytest.approx(other["max_error"], abs=1e-6)
        # Another release of the runtime rounds otherwise, and equal scores may then stand in either order.
        swaps = one.pop("swaps")
        assert swaps >= 0 if client.name == "node" else swaps == other["swaps"]
    wanted["verdicts"] = [
        {key: value for key, value in one.items() if key not in ("max_error", "swaps")} for one in wanted["verdicts"]
    ]
    assert found == wanted


@EVERY
@pytest.mark.parametrize("name", [DEMO, ML_1M, "text_ids", "numbers_k_input", "index"])
def test_recommend_and_score_answer_as_bst_recommend(
    client: Client, name: str, bundles: dict[str, Path], bst_command: Command
) -> None:
    options = one_user(bundles[name])
    wanted = json.loads(bst_command("recommend", bundles[name], "--json", *options)[1])
    code, found, stderr = client("recommend", bundles[name], *options)
    assert (code, stderr) == (0, "")
    assert found["item_ids"] == wanted["item_ids"]
    assert found["scores"] == pytest.approx(wanted["scores"], abs=1e-5)
    stranger = "nobody" if open_bundle(bundles[name]).manifest.items.dtype == "string" else 10**15
    candidates = [*found["item_ids"][:3], stranger]
    code, scored, stderr = client("score", bundles[name], *options, "--candidates", ",".join(map(str, candidates)))
    assert (code, stderr) == (0, "")
    assert scored["candidates"] == candidates
    assert scored["scores"][-1] is None
    assert scored["scores"][:-1] == pytest.approx(found["scores"][:3], abs=1e-5)


@pytest.mark.slow
@EVERY
def test_the_second_command_of_the_readme_recommends(client: Client, ml_1m_bundle: Path, bst_command: Command) -> None:
    """The first one has built the client in C++, in a copy of its folder."""
    _, second = readme_commands(client.name)
    program, separator, rest = second.partition(" recommend BUNDLE ")
    assert separator
    assert Path(shlex.split(program)[-1]).name == Path(client.command[-1]).name
    code, found, stderr = client("recommend", ml_1m_bundle, *shlex.split(rest))
    assert (code, stderr) == (0, "")
    wanted = json.loads(bst_command("recommend", ml_1m_bundle, "--json", *shlex.split(rest))[1])
    assert found["item_ids"] == wanted["item_ids"]


@EVERY
def test_a_user_without_history_gets_what_the_context_alone_gives(
    client: Client, bundles: dict[str, Path], bst_command: Command
) -> None:
    wanted = json.loads(bst_command("recommend", bundles["text_ids"], "--json")[1])
    assert client("recommend", bundles["text_ids"])[1]["item_ids"] == wanted["item_ids"]


@EVERY
def test_k_is_the_callers_where_it_is_an_input(client: Client, bundles: dict[str, Path]) -> None:
    asked = client("recommend", bundles["numbers_k_input"], "--k", 3)[1]
    assert len(asked["item_ids"]) == 3
    code, found, stderr = client("recommend", bundles["numbers_k_input"], "--k", 9)
    assert (code, found) == (2, None)
    assert stderr.startswith("error: k is 9, not between 1 and 8; ")


@EVERY
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("recommend", "{bundle}", "--history", "eleven"), "'eleven' is not an id of this model"),
        (("recommend", "{bundle}", "--history", str(2**63)), f"'{2**63}' is not an id of this model"),
        (("recommend", "{bundle}", "--context", "colour=red"), "a feature of the model, once: gender, region"),
        (("recommend", "{bundle}", "--context", "gender"), "gender"),
        (("recommend", "{bundle}", "--k", "6"), "--k 6: this bundle gives 1 to 5; export with a larger --k"),
        (("recommend", "{bundle}", "--k", "0"), "--k 0: this bundle gives 1 to 5; export with a larger --k"),
        (("recommend", "{bundle}", "--colour", "red"), "--colour"),
        (("score", "{bundle}"), "--candidates"),
        (("bench", "{bundle}", "--case", "none"), "none"),
        (("bench", "{bundle}", "--calls", "0"), "--calls"),
        (("recommend", "/nowhere"), "/nowhere"),
        (("guess", "{bundle}"), "recommend"),
        ((), "recommend"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    client: Client, arguments: tuple[str, ...], words: str, bundle_path: Path
) -> None:
    code, found, stderr = client(*(one.format(bundle=bundle_path) for one in arguments))
    assert (code, found) == (2, None)
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    assert words in stderr


@EVERY
def test_a_signature_that_the_bundle_lacks_is_named_beside_those_it_has(
    client: Client, variants: dict[str, Path]
) -> None:
    code, found, stderr = client("recommend", variants["score_candidates"])
    assert (code, found) == (2, None)
    assert stderr.startswith("error: signature 'top_k' is not in the bundle; known: score_candidates")
    asked = ("score", variants["score_candidates"], *one_user(variants["score_candidates"]), "--candidates", "11,18")
    code, found, stderr = client(*asked)
    assert (code, stderr, len(found["scores"])) == (0, "", 2)


@EVERY
def test_bench_times_its_own_calls(client: Client, bundles: dict[str, Path]) -> None:
    code, found, stderr = client("bench", bundles["text_ids"], "--calls", 50)
    assert (code, stderr) == (0, "")
    stated = {"client": client.name, "format": client.formats[0], "signature": "top_k", "case": "full"}
    assert stated.items() <= found.items()
    assert (found["rows"], found["length"], found["threads"], found["calls"]) == (1, 12, 1, 50)
    assert 0 < found["p50_us"] <= found["p99_us"]


@pytest.mark.slow
@pytest.mark.parametrize("client", ["cpp-libtorch"], indirect=True)
def test_machine_code_of_aotinductor_verifies_and_refuses_other_processors(
    client: Client, compiled_bundle: Path, tmp_path: Path, bst_command: Command
) -> None:
    code, found, _ = client("verify", compiled_bundle)
    assert (code, found["failure"], len(found["verdicts"])) == (0, None, 4)
    options = one_user(compiled_bundle)
    wanted = json.loads(bst_command("recommend", compiled_bundle, "--backend", "aotinductor", "--json", *options)[1])
    assert client("recommend", compiled_bundle, *options)[1]["item_ids"] == wanted["item_ids"]
    shutil.copytree(compiled_bundle, tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    path.write_bytes(
        forged(lambda manifest: manifest["formats"][0]["needs"].update(cpu_flags=["avx9000"]))(path.read_bytes())
    )
    code, _, stderr = client("recommend", tmp_path / "bundle", *options)
    assert code == 1
    assert "needs the CPU features avx9000, which this CPU has not" in stderr


@EVERY
@pytest.mark.parametrize("name", ["raw_ids", "index"])
def test_names_of_items_come_with_the_answer_as_in_bst_recommend(
    client: Client, name: str, bundles: dict[str, Path], tmp_path: Path, bst_command: Command
) -> None:
    bundle = shutil.copytree(bundles[name], tmp_path / "bundle")
    give_names(bundle, [f"Näme {place}" for place in range(30)])
    code, found, stderr = client("recommend", bundle)
    assert (code, stderr) == (0, "")
    wanted = json.loads(bst_command("recommend", bundle, "--json")[1])
    assert len(wanted["names"]) == 5
    assert found["names"] == wanted["names"]
    assert wanted["names"][0] in bst_command("recommend", bundle)[1]
