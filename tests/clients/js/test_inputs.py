"""Values beside a history, in JavaScript as in Python: features and times of events, numbers of the request."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bst.data.vocabulary import Vocabularies
from bst.errors import InputError
from export.contract.inputs import DTYPES, checked_inputs
from export.contract.rules import read_manifest
from export.sessions.typed_user import typed_user
from export.sessions.users import inputs_of
from tests.browser import NEEDS_CHROMIUM
from tests.clients.conftest import Client
from tests.clients.js.page import PAGE_RUNTIME, Watched, served
from tests.clients.js.program import BUNDLE, javascript
from tests.clients.js.telling import ASKED, TOLD, VOCABULARIES, manifest, write_bundle
from tests.manifests.write import append, drop, put, together

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
the_client = pytest.mark.parametrize("client", ["node"], indirect=True)
Tensors = dict[str, dict[str, Any]]
# Users are JavaScript, for JSON has neither NaN nor integers of 64 bits.
ANSWERS = f"""{BUNDLE}
    console.log(JSON.stringify(calls.map((call) => {{
      try {{
        return tensorsOf((0, eval)(`(${{call}})`));
      }} catch (error) {{
        if (!(error instanceof InputError)) throw error;
        return {{ refused: error.message }};
      }}
    }})));
"""
BENCHED = f"""{BUNDLE}
    let tensors;
    const recommendAll = async (users) => {{ tensors = tensorsOf(users); }};
    await bench({{ ...known, recommendAll }}, {{ case: "full", calls: 1 }});
    console.log(JSON.stringify(tensors));
"""


def answers(*calls: str, ids: str = "raw") -> list[Any]:
    """The tensors of each call, an expression for a list of users, or the message that refuses it."""
    return list(
        javascript(ANSWERS, {"manifest": json.dumps(manifest(ids)), "vocabularies": VOCABULARIES, "calls": calls})
    )


def arrays(tensors: Tensors) -> dict[str, np.ndarray]:
    read = {"int64": int, "float32": float, "string": str}
    return {
        name: np.array([read[one["dtype"]](text) for text in one["data"]], DTYPES[one["dtype"]]).reshape(one["dims"])
        for name, one in tensors.items()
    }


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("telling") / "bundle")


USERS: dict[str, tuple[Any, ...]] = {
    "{}": ([], {}, {}),
    "{ history: [11, 13], context: null, events: null }": ([11, 13], {}, {}),
    "{ history: new Set([11, 13]), context: { age: 41.5, basket: null }, events: { kind: ['view', null] } }": (
        *([11, 13], {"age": 41.5, "basket": None}, {"kind": ["view", None]}),
    ),
    "{ context: { age: NaN, basket: -Infinity, region: 5 }, events: { kind: [] } }": (
        *([], {"age": float("nan"), "basket": float("-inf"), "region": 5}, {"kind": []}),
    ),
    "{ context: { age: 3.4028234663852886e38, basket: 2n ** 60n, request_time: 2n ** 63n - 1n } }": (
        *([], {"age": 3.4028234663852886e38, "basket": 2**60, "request_time": 2**63 - 1}, {}),
    ),
    "{ history: [11, 99, 13], events: { event_time: [-5, null, 1700000000], device: [0, '7', null] } }": (
        *([11, 99, 13], {}, {"event_time": [-5, None, 1_700_000_000], "device": [0, 7, None]}),
    ),
}


def test_the_tensors_of_a_user_are_those_of_python(telling: Path) -> None:
    described = read_manifest(telling)
    tensors = answers(*(f"[{user}]" for user in USERS))
    for user, values in zip(tensors, USERS.values(), strict=True):
        expected = checked_inputs(described.signatures[0], inputs_of(described, *values))
        assert list(user) == list(expected)
        for name, array in arrays(user).items():
            np.testing.assert_array_equal(array, expected[name], err_msg=name)
            assert array.dtype == expected[name].dtype


def test_users_by_index_stand_side_by_side_with_padding_on_the_left() -> None:
    users = """[
      { history: [12, 13], context: { age: 1.5, region: 9 }, events: { kind: ["view", "lend"], device: [7, 0] } },
      { history: [14], context: { basket: 2.5, request_time: 9 }, events: { event_time: [8] } },
    ]"""
    (tensors,) = answers(users, ids="index")
    tables = arrays(tensors)
    assert tables["items"].tolist() == [[2, 3], [0, 4]]
    assert tables["events"].tolist() == [[[2, 2], [0, 1]], [[0, 0], [0, 0]]]
    assert tables["event_time"].tolist() == [[0, 0], [0, 8]]
    assert tables["request_time"].tolist() == [0, 9]
    assert tables["context"].tolist() == [[3], [0]]
    np.testing.assert_array_equal(tables["numbers"], np.array([[1.5, np.nan], [np.nan, 2.5]], np.float32))


REFUSED = {
    "{ context: { colour: 1, kind: 'view' } }": (
        "context 'colour', 'kind' is no feature of the model; known: request_time, region, age, basket"
    ),
    "{ events: { age: [] } }": "events 'age' is no feature of the model; known: kind, device, event_time",
    "{ context: { constructor: 1 } }": "context 'constructor' is no feature of the model",
    "{ context: new Map([['age', 1]]) }": "context is no object; give values by name",
    "{ events: 'kind=view' }": "events is no object; give values by name",
    "{ history: [11, 13], events: { kind: ['view'] } }": (
        "events 'kind' has 1 values, and the history 2; give one for each item"
    ),
    "{ events: { event_time: [5] } }": "events 'event_time' has 1 values, and the history 0; give one for each item",
    "{ history: [11], events: { kind: 'view' } }": "events kind: 'view' is no list",
    "{ history: '11' }": "history: '11' is no list",
    "{ history: [null] }": "history: 'null' is not an id of this model",
    "{ context: { age: '30' } }": "context age: '30' is no number; give a number, or null where it is not known",
    "{ context: { age: true } }": "context age: true is no number",
    "{ context: { age: [30] } }": "context age: 30 is no number",
    "{ context: { age: -1e39 } }": "context age: -1e+39 is beyond float32; give null where it is not known",
    "{ context: { basket: 2n ** 200n } }": "is beyond float32",
    "{ context: { request_time: 1.5 } }": "context request_time: 1.5 is no time in seconds since 1970; give an integer",
    "{ context: { request_time: NaN } }": "context request_time: NaN is no time",
    "{ context: { request_time: '1700000000' } }": "context request_time: '1700000000' is no time",
    "{ context: { request_time: 2 ** 60 } }": "beyond 2 ** 53 a bigint, or null where it is not known",
    "{ context: { request_time: 2n ** 63n } }": "context request_time: 9223372036854775808 is no time",
    "{ history: [11], events: { event_time: [new Date()] } }": "is no time in seconds since 1970",
    "{ history: [11], events: { kind: [1] } }": "events kind: '1' is not an id of this model; its ids are text",
    "{ history: [11], events: { device: [[0]] } }": "events device: '0' is not an id of this model",
}


def test_what_is_wrong_is_named_with_the_remedy() -> None:
    for (user, words), answer in zip(REFUSED.items(), answers(*(f"[{user}]" for user in REFUSED)), strict=True):
        assert words in answer["refused"], user
        assert "\n" not in answer["refused"], user


def test_histories_of_several_lengths_are_refused_where_padding_counts() -> None:
    model = manifest()
    model["model"] |= {"padding": "counted", "pooling": "mean", "event_times": "none"}
    signature = model["signatures"][0]
    signature["inputs"] = [one for one in signature["inputs"] if not one["name"].endswith("_time")]
    payload = {"manifest": json.dumps(model), "vocabularies": VOCABULARIES}
    calls = ["[{ history: [11] }, { history: [13] }]", "[{ history: [11] }, { history: [11, 13] }]"]
    alike, unlike = javascript(ANSWERS, payload | {"calls": calls})
    assert alike["history"]["dims"] == [2, 1]
    assert "histories are of several lengths, and this model counts padding" in unlike["refused"]


TYPED: list[tuple[str, list[str], list[str]]] = [
    ("11,13", [], ["kind=view,", "event_time=,5", "device=7,"]),
    ("", ["region=5,age=-1.5e3", "basket= 2 "], []),
    ("", ["request_time=+7,age=nan,basket=-inf"], []),
    ("", ["age=,basket=.5,request_time="], []),
    ("", ["age=1e400,basket=-1e400"], []),
    ("11", ["request_time=-9223372036854775808"], ["kind=a=b"]),
    ("11", [], ["kind=view", "kind=view"]),
    ("11", ["kind=view"], []),
    ("11", [], ["age=5"]),
    ("11", [], ["kind"]),
    ("", ["age=1,age=1"], []),
    ("", ["age=old"], []),
    ("", ["age=0x10"], []),
    ("", ["request_time=1.5"], []),
    ("11", [], ["event_time=now"]),
    ("11", [], ["device=x"]),
    ("", ["region="], []),
]


def test_the_command_line_reads_values_as_that_of_bst(telling: Path) -> None:
    program = """
        import { InputError, readManifest } from "JS/core/index.mjs";
        import { userOf } from "JS/node/arguments.mjs";
        const { manifest, typed } = JSON.parse(await new Response(process.stdin).text());
        const read = async () => new TextEncoder().encode(JSON.stringify(manifest));
        const sound = await readManifest({ name: "bundle", read });
        const text = (_, one) => ["bigint", "number"].includes(typeof one) ? String(one) : one;
        console.log(JSON.stringify(typed.map(([history, context, event]) => {
          try {
            const { candidateFeatures, sequences, ...user } = userOf(sound, { history, context, event });
            return user;
          }
          catch (error) { return { refused: error.message, ours: error instanceof InputError }; }
        }), text));
    """
    users = javascript(program, {"manifest": manifest(), "typed": TYPED})
    described, tables = read_manifest(telling), Vocabularies.from_dict(VOCABULARIES)
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}

    def plain(value: Any) -> Any:
        if isinstance(value, list | dict):
            return [plain(one) for one in value] if isinstance(value, list) else {k: plain(v) for k, v in value.items()}
        number = isinstance(value, int | float)
        return names.get(f"{value}", f"{value:g}" if isinstance(value, float) else str(value)) if number else value

    def bst_reads(*typed: Any) -> dict[str, Any]:
        try:
            user = typed_user(described, tables, *typed)
        except InputError as error:
            return {"refused": str(error), "ours": True}
        return plain({"history": user.history, "context": user.context, "events": user.events})

    for user, (history, context, events) in zip(users, TYPED, strict=True):
        assert user == bst_reads(history, context, events)


FIRST = "signatures.0.inputs.0"
CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "as it is": lambda values: None,
    "before 4.4": together(
        drop("events"), drop("model.event_features"), drop("model.event_times"), drop("model.numbers")
    ),
    "another number of kinds": put("events.kind.count", 3),
    "a vocabulary of events too many": put("events.place", {"dtype": "string", "count": 1, "padding": ""}),
    "a feature of events too few": drop("model.event_features.1"),
    "events in another order": lambda values: values["model"]["event_features"].reverse(),
    "text that pads numbers": put("events.device.padding", ""),
    "a number by the name of a category": put("model.numbers.0.name", "region"),
    "a number by the name of an event feature": put("model.numbers.0.name", "kind"),
    "a number twice": put("model.numbers.0.name", "basket"),
    "a number that is no name": put("model.numbers.0.name", "age in years"),
    "no deviation": put("model.numbers.0.deviation", 0.0),
    "times of another kind": put("model.event_times", "sometimes"),
    "the first input is a number": put(f"{FIRST}.dtype", "float32"),
    "the first input has one axis": put(f"{FIRST}.shape", ["batch"]),
    "the first input has three axes": put(f"{FIRST}.shape", ["batch", "length", 2]),
    "an input of three axes": put("signatures.0.inputs.2.shape", ["batch", "length", 2]),
    "an input of four axes": put("signatures.0.inputs.2.shape", ["batch", "length", 2, 2]),
    "an input without axes": put("signatures.0.inputs.2.shape", []),
    "item features by one name": together(
        put("model.item_features", [{"name": "a b", "num_categories": 1}]),
        put("model.item_numbers", [{"name": "a b", "mean": 0, "deviation": 1}]),
    ),
    "an item feature by the name of a number": put("model.item_features", [{"name": "age", "num_categories": 1}]),
    "times where padding counts": together(put("model.padding", "counted"), put("model.pooling", "mean")),
    "one more of unknown inputs": append("signatures.0.inputs", {"name": "x", "dtype": "float32", "shape": ["batch"]}),
}


def test_manifests_with_such_inputs_are_judged_as_in_python(tmp_path: Path) -> None:
    verdicts = {}
    for place, (name, change) in enumerate(CHANGES.items()):
        values = manifest()
        if name == "before 4.4":
            values["schema_version"] = "4.3"
        change(values)
        folder = tmp_path / f"{place:02}"
        folder.mkdir()
        (folder / "manifest.json").write_text(json.dumps(values))
        try:
            read_manifest(folder)
            verdicts[name] = "sound"
        except InputError:
            verdicts[name] = "spoilt"
    paths = [tmp_path / f"{place:02}" / "manifest.json" for place in range(len(CHANGES))]
    judge = Path(__file__).parent / "judge.mjs"
    done = subprocess.run(["node", judge, *paths], capture_output=True, text=True, check=True)
    assert dict(zip(CHANGES, done.stdout.splitlines(), strict=True)) == verdicts
    assert (verdicts["as it is"], verdicts["before 4.4"], verdicts["events in another order"]) == (
        *("sound", "sound", "spoilt"),
    )


def test_a_session_refuses_tensors_of_another_kind_or_shape() -> None:
    program = """
        import { checkInputs } from "JS/core/tensors.mjs";
        const signature = JSON.parse(await new Response(process.stdin).text());
        const events = { dtype: "int64", dims: [1, 1, 2], data: new BigInt64Array(2) };
        const numbers = { dtype: "float32", dims: [1, 2], data: Float32Array.of(NaN, Infinity) };
        const ids = { dtype: "int64", dims: [1, 1], data: new BigInt64Array(1) };
        const row = { dtype: "int64", dims: [1], data: new BigInt64Array(1) };
        const sound = { items: ids, events, event_time: ids, request_time: row, context: ids, numbers };
        const changes = [
          {},
          { numbers: undefined },
          { numbers: { ...numbers, data: [1, 2] } },
          { numbers: { ...numbers, dtype: "int64", data: new BigInt64Array(2) } },
          { numbers: { ...numbers, dims: [2, 1] } },
          { events: { ...events, dims: [1, 2] } },
          { events: { ...events, dims: [1, 2, 1] } },
          { request_time: { ...row, dims: [2], data: new BigInt64Array(2) } },
          { colour: row },
        ];
        console.log(JSON.stringify(changes.map((change) => {
          const inputs = Object.fromEntries(Object.entries({ ...sound, ...change }).filter(([, one]) => one));
          try { checkInputs(signature, inputs); return ""; } catch (error) { return error.message; }
        })));
    """
    messages = javascript(program, manifest("index")["signatures"][0])
    words = [
        *("", "numbers is missing", "numbers is float32 in Array, not float32 in Float32Array"),
        *("numbers is int64 in BigInt64Array, not float32", "numbers has shape [2, 1], where batch is 1"),
        *("events has shape [1, 2]", "events has shape [1, 2, 1], where length is 1"),
        *("request_time has shape [2], where batch is 1", "colour is not an input"),
    ]
    for message, start in zip(messages, words, strict=True):
        assert message.startswith(start)
        assert not start or message.endswith("numbers float32 ['batch', 2]")


def test_golden_inputs_may_be_any_float_and_nothing_else(telling: Path) -> None:
    program = """
        import { readFile } from "node:fs/promises";
        import { readManifest } from "JS/core/index.mjs";
        import { readGolden } from "JS/core/proof/golden.mjs";
        const { folder, ages } = JSON.parse(await new Response(process.stdin).text());
        const golden = JSON.parse(await readFile(`${folder}/golden/top_k.json`, "utf8"));
        const sources = ages.map((age) => ({
          name: "bundle",
          digest: async () => ({ bytes: 0, sha256: "" }),
          read: async (path) => {
            if (path === "manifest.json") return readFile(`${folder}/${path}`);
            golden.cases[0].inputs.age = [age];
            return new TextEncoder().encode(JSON.stringify(golden));
          },
        }));
        const told = [];
        for (const source of sources) {
          const bundle = { source, manifest: await readManifest(source) };
          told.push(await readGolden(bundle, "top_k").then(
            ([{ inputs }]) => String(inputs.age.data[0]), (error) => error.message));
        }
        console.log(JSON.stringify(told));
    """
    ages = ["NaN", "Infinity", "-Infinity", 41.5, -3, None, "", "old", "nan"]
    numbers, offences = np.split(np.array(javascript(program, {"folder": str(telling), "ages": ages})), [5])
    assert numbers.tolist() == ["NaN", "Infinity", "-Infinity", "41.5", "-3"]
    assert all("is not a file of golden vectors (" in offence for offence in offences)


RECORDED = {
    "raw": {
        **{"history": [[11, 13], [0, 14]], "kind": [["buy", ""], ["", "view"]], "device": [[7, -1], [0, 0]]},
        **{"event_time": [[5, 0], [-1, 2**63 - 1]], "request_time": [9, 10], "region": [5, 0]},
        **{"age": [41.5, "NaN"], "basket": ["-Infinity", 2.0]},
    },
    "index": {
        **{"items": [[1, 3], [0, 4]], "events": [[[1, 2], [0, 0]], [[0, 1], [2, 1]]], "event_time": [[5, 0], [-1, 7]]},
        **{"request_time": [9, 10], "context": [[2], [0]], "numbers": [[41.5, "-Infinity"], ["NaN", 2.0]]},
    },
}


@pytest.mark.parametrize("ids", RECORDED)
def test_bench_calls_with_the_users_of_a_recorded_call(ids: str) -> None:
    """Their tensors are those that were recorded."""
    names = [spec["name"] for spec in manifest(ids)["signatures"][0]["outputs"]]
    outputs = dict.fromkeys(names, [[1] * 5] * 2)
    golden = {"cases": [{"name": "full", "inputs": RECORDED[ids], "outputs": outputs}]}
    contents = {"manifest": json.dumps(manifest(ids)), "golden": json.dumps(golden), "vocabularies": VOCABULARIES}
    tensors = arrays(javascript(BENCHED, contents))
    for name, values in RECORDED[ids].items():
        np.testing.assert_array_equal(tensors[name], np.array(values, tensors[name].dtype), err_msg=name)


@the_client
def test_values_of_events_and_numbers_reach_the_model(client: Client, telling: Path) -> None:
    events = [f"{name}={','.join(map(str, row))}" for name, row in ASKED.items() if name != "history"]
    options = [part for event in events for part in ("--event", event)]
    options += ["--history", "11,13", "--context", "request_time=1700000120,region=5", "--context", "age=41.5"]
    code, answer, stderr = client("recommend", telling, *options)
    assert (code, answer["scores"], stderr) == (0, TOLD, "")
    assert client("recommend", telling, "--history", "11")[1]["scores"] == [0, -1, 0, 0, -1]
    code, answer, stderr = client("verify", telling)
    assert (code, stderr) == (0, "")
    assert [(one["cases"], one["max_error"]) for one in answer["verdicts"]] == [(4, 0)]
    assert client("bench", telling, "--calls", 3)[0] == 0
    code, answer, stderr = client("recommend", telling, "--history", "11", "--event", "kind=view,buy")
    assert (code, answer) == (2, None)
    assert stderr == "error: events 'kind' has 2 values, and the history 1; give one for each item\n"


@pytest.mark.slow
@NEEDS_CHROMIUM
@pytest.mark.skipif(not PAGE_RUNTIME.exists(), reason="no onnxruntime-web: no npm")
def test_the_page_sends_numbers_choices_at_the_chips_and_the_times_of_the_picks(browser: Any, telling: Path) -> None:
    with served(telling) as site:
        context = browser.new_context()
        watched = Watched(context.new_page())
        watched.page.clock.set_fixed_time(1_700_000_000)
        watched.load(site.url)
        facts = watched.page.locator("#facts").inner_text()
        assert "2 event features, event times, 1 context feature, 2 numbers" in facts
        assert "the time at which you picked it" in watched.page.locator("#times-note").inner_text()
        watched.pick("11")
        watched.pick("13")
        watched.history(2)
        assert watched.ranking()[1] == [0, -1, 0, 0, -1]
        watched.page.clock.set_fixed_time(1_700_000_020)
        watched.page.locator("#history select[name=kind]").last.select_option("buy")
        watched.page.locator("#history select[name=device]").last.select_option("0")
        watched.page.locator("#context select[name=region]").select_option("5")
        watched.page.locator("#context input[name=age]").fill("41.5")
        watched.page.keyboard.press("Tab")
        watched.page.wait_for_selector("#recommended data[value='41.5']", state="attached")
        assert watched.ranking()[1] == TOLD
        watched.page.locator("#history li").first.get_by_role("button").click()
        watched.page.wait_for_selector("#history li:nth-child(2)", state="detached")
        assert watched.page.locator("#history select[name=kind]").input_value() == "buy"
        watched.page.locator("#context input[name=age]").fill("")
        watched.page.keyboard.press("Tab")
        watched.page.wait_for_selector("#recommended li:last-child data[value='-1']", state="attached")
        assert watched.pressed("verify")["ok"]
        context.close()
