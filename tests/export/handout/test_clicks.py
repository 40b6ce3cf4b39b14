"""The card and the model repository of a click model say what its probabilities are, and its programs give them."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from export import open_bundle
from export.contract.signatures import signatures_of_task
from export.handout import export_triton, write_card
from export.handout.snippets import example
from tests.conftest import OnDemand
from tests.export.handout.test_card import NODE_MODULES, beside, commands, read_lines, snippets
from tests.export.handout.test_triton import DataType, read_config

DTYPES = {"int64": np.int64, "float32": np.float32, "string": object}


def expected(path: Path) -> dict[str, list[float]]:
    """What the bundle gives for the example of the card."""
    bundle = open_bundle(path)
    signature = bundle.manifest.signature("score_candidates")
    inputs = {
        tensor.name: np.array(tensor.values, dtype=DTYPES[tensor.dtype]).reshape(tensor.shape)
        for tensor in example(signature, bundle.vocabularies, bundle.manifest.model, 1)
    }
    answer = bundle.session(signature="score_candidates")(inputs)
    return {name: values[0].tolist() for name, values in answer.items()}


def test_the_card_says_what_probabilities_are_and_how_good_beside_baselines(variants: OnDemand) -> None:
    card = (variants["clicks"] / "README.md").read_text()
    quality = open_bundle(variants["clicks"]).manifest.click_quality
    assert quality is not None
    assert "candidates among 40 items, and gives the probability of each" in card
    assert "`scores` are logits, and `probabilities` their sigmoids" in card
    assert "the last event of each user, from all that the user did before, beside 1 drawn uniformly;" in card
    areas = {"this model": quality.model, "first-order Markov": quality.markov, "popularity": quality.popularity}
    for name, numbers in areas.items():
        assert f"| {name} | {numbers.auc:.4f} | {numbers.grouped_auc:.4f} | " in card
    assert f" | {quality.model.log_loss:.4f} |\n" in card
    assert f"| base rate | 0.5000 | 0.5000 | {quality.base_rate_log_loss:.4f} |" in card
    assert "The history is computed once for all candidates of a call: the mask is causal" in card
    assert "Keep `user_vector` between requests: it is all that is read of a user." in card
    for words in ("top_k", "HR@10", "as the next one", "output layer"):
        assert words not in card


def test_the_card_without_a_test_has_no_metrics_and_says_where_the_history_is_computed_anew(
    variants: OnDemand, tmp_path: Path
) -> None:
    bundle = open_bundle(variants["clicks"])
    assert bundle.manifest.history is not None
    anew = bundle.manifest.history.model_copy(update={"once": False, "reason": "of its mask"})
    manifest = bundle.manifest.model_copy(update={"click_quality": None, "history": anew})
    write_card(tmp_path, manifest, bundle.vocabularies)
    card = (tmp_path / "README.md").read_text()
    assert "How good it is" not in card
    assert "as frequent as in the training data: elsewhere use the order" in card
    assert "The history is computed anew for each candidate: of its mask." in card


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize("variant", ["clicks", "pairs"])
def test_the_python_programs_of_the_card_give_both(
    variants: OnDemand, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = variants[variant]
    monkeypatch.chdir(path)
    for title in ("Python", "TorchScript"):
        names: dict[str, object] = {}
        exec(snippets(path)[title], names)
        for name, values in expected(path).items():
            got = names[name]
            found = got.numpy() if isinstance(got, torch.Tensor) else got
            np.testing.assert_allclose(found[0], values, atol=1e-5, err_msg=title)  # type: ignore[index]


@pytest.mark.skipif(
    not (NODE_MODULES / "onnxruntime-node").exists(), reason="no onnxruntime-node: npm was not there to install it"
)
@pytest.mark.parametrize("variant", ["clicks", "pairs"])
def test_the_node_program_of_the_card_gives_both(variants: OnDemand, variant: str, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    folder = beside(variants[variant], tmp_path, "program.mjs", snippets(variants[variant])["Node"])
    start = commands(folder)["Node"][-1].split()
    printed = subprocess.run(start, cwd=folder, capture_output=True, text=True, check=True).stdout
    probabilities, scores = read_lines(printed)
    wanted = expected(variants[variant])
    assert [float(one) for one in probabilities] == pytest.approx(wanted["probabilities"], abs=1e-5)
    assert scores == pytest.approx(wanted["scores"], abs=1e-5)


def test_card_and_server_name_each_sequence_with_its_own_length(variants: OnDemand, tmp_path: Path) -> None:
    card = (variants["pairs"] / "README.md").read_text()
    assert "of a history longer than 5 slots the newest are read" in card
    assert (
        "`skipped_item` is a sequence of items of its own, oldest first, as long as it is: the oldest 4 are read."
        in card
    )
    assert (
        "`bought_item` is a sequence of items of its own, oldest first, as long as it is: the newest 3 are read."
        in card
    )
    assert (
        "`skipped_item` string [batch, skipped_item_length], `bought_item` string [batch, bought_item_length]" in card
    )
    export_triton(variants["pairs"], tmp_path / "models")
    dims = {one.name: list(one.dims) for one in read_config(tmp_path / "models" / "score_candidates").input}
    assert dims["history"] == dims["skipped_item"] == dims["bought_item"] == [-1]


def test_triton_is_told_both_outputs(variants: OnDemand, tmp_path: Path) -> None:
    assert export_triton(variants["clicks"], tmp_path / "models") == signatures_of_task("click")
    config = read_config(tmp_path / "models" / "score_candidates")
    assert [(one.name, one.data_type) for one in config.output] == [
        ("probabilities", DataType.TYPE_FP32),
        ("scores", DataType.TYPE_FP32),
    ]
    assert {sample.name for sample in config.model_warmup} == {"full", "empty", "full_times_8"}
    read_me = (tmp_path / "models" / "README.md").read_text()
    assert "* `score_candidates` gives `probabilities` and `scores`." in read_me
    assert re.search(r"^curl .*/score_candidates/infer .*\"candidates\"", read_me, flags=re.MULTILINE)
