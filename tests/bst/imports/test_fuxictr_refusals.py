"""Refusals by name of what a folder of FuxiCTR lacks or cannot carry; layouts of others are read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bst import load_run
from bst.errors import InputError
from bst.imports import import_fuxictr
from bst.imports.fuxictr.vocabulary import read_tokens
from bst.imports.rankers.ids import as_id
from tests.bst.imports.fuxi_folder import Case, Other, write_folder

CASE = Case({"fields": ["item", "cate"], "context": ["city"], "numbers": ["price"]})
CONFIG, DATASET, MAP = "model_config.yaml", "dataset_config.yaml", "feature_map.json"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuxictr") / "dir"
    write_folder(folder, CASE)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "dir"))


def refused(folder: Path, message: str, **options: Any) -> None:
    with pytest.raises(InputError, match=message):
        import_fuxictr(folder, folder.parent / "run", **options)
    assert not (folder.parent / "run").exists()


def rewritten(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("target\n", "concat\n", "seq_pooling_type=concat cannot be carried; known: mean, sum, target"),
        ("num_heads: 2", "num_heads: 5", "5 heads do not divide the width 12"),
        ("num_heads: 2", "num_heads: two", "num_heads: 'two' is no value of this setting"),
        ("model: BST\n  dataset", "model: DIN\n  dataset", "is a model 'DIN', not BST"),
        ('"relu"', "ELU", "the activation 'ELU' of the head cannot be carried"),
        ('"relu"', "[relu]", "1 activations for 2 hidden layers"),
        ("[6, 5]", "[6, 4]", r"dnn_hidden_units=\[6, 4\], and the tensors say \[6, 5\]"),
        ("batch_norm: false", "batch_norm: true", "batch_norm=True, and the tensors say False"),
        ("layers: 1", "layers: 2", "stacked_transformer_layers=2, and the tensors say 1"),
        ("layer_norm: true", "layer_norm: false", "layer_norm1.weight, .* are no part of the model"),
        ("position_emb: true", "position_emb: false", "position_emb.* are no part of the model"),
        ("tuple [item, cate]", "tuple [item, brand]", "the field 'brand' of the BST is no feature"),
        (
            "tuple [item, cate]",
            "tuple [item, city]",
            "has 'cate', which is no target field besides the item",
        ),
        ("!!python/tuple [item, cate]", "item", "1 target fields and 2 sequences are no pair"),
        (
            "!!python/tuple [item, cate]\n  bst_sequence_field: !!python/tuple [item_history, cate_history]",
            "[item, cate]\n  bst_sequence_field: [item_history, cate_history]",
            "2 pairs of target and sequence .item with item_history; cate with .*, and the tensors have 1 encoders",
        ),
        ("BST_best:\n", "BST_best:\n  use_features: [item, nothing]\n", "use_features has nothing"),
        ("BST_best:\n", "BST_best:\n  feature_specs: [{name: nothing, x: 1}]\n", "feature_specs has nothing"),
        ("BST_best:\n", "BST_best:\n  feature_config: [1]\n", "feature_config is no setting"),
        ("BST_best:\n", "BST_best:\n  use_features: item\n", "use_features: 'item' is no list"),
        ("BST_best:\n", "BST_best:\n  feature_specs: 3\n", "feature_specs: 3 is no list"),
        ("dataset_id: clicks", "dataset_id: other", "has no dataset other, which BST_best names; it has clicks"),
        ("seed: 1", "seed: !!python/object/apply:os.system [ls]", "is no YAML of plain values"),
        ("seed: 1", "seed: [[", "is no YAML of plain values"),
        ("seed: 1", 'seed: {"\\ud800": 1}', "is no YAML of plain values .'utf-8' codec can't encode"),
    ],
)
def test_settings_that_cannot_be_carried_are_refused(folder: Path, old: str, new: str, message: str) -> None:
    rewritten(folder / CONFIG, old, new)
    refused(folder, message)


@pytest.mark.parametrize(
    ("other", "changes", "message"),
    [
        (
            Other("bought", ("cate",)),
            {},
            "the pair of bought_cate has no history of the item item, so it is no sequence",
        ),
        (
            Other("bought", ("item", "kind")),
            {},
            "the pair of bought_item has the fields kind, bought_kind, which are no properties of the item, and only",
        ),
        (
            Other("bought"),
            {"bst_sequence_field: [item_history, bought_item": "bst_sequence_field: [item_history, item_history"},
            "the sequence item_history is there 2 times, and the library reads each once",
        ),
        (
            Other("bought"),
            {"bst_target_field: [item, item]": "bst_target_field: item"},
            "1 target fields for 2 sequences",
        ),
        (
            Other("bought"),
            {
                "bst_sequence_field: [item_history, bought_item": "bst_sequence_field: [item_history",
                "bst_target_field: [item, item]": "bst_target_field: item",
            },
            "bought_item is a pooled sequence beside the BST",
        ),
    ],
)
def test_other_pairs_that_cannot_be_carried_are_refused(
    other: Other, changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    write_folder(tmp_path / "dir", Case({"others": [other]}))
    for old, new in changes.items():
        rewritten(tmp_path / "dir" / CONFIG, old, new)
    refused(tmp_path / "dir", message)


def test_aliases_that_grow_without_measure_are_refused(folder: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (folder / CONFIG).write_text("\n".join(lines))
    refused(folder, "it has more than 100,000 values")


SPECS: list[tuple[str, dict[str, Any], str]] = [
    (
        "item_history",
        {"feature_encoder": "layers.MaskedAveragePooling()"},
        "item_history is pooled by .* add what",
    ),
    ("city", {"feature_encoder": "nn.Linear(4, 4)"}, "city has the encoder .* known: nn.Linear.a, b, bias=False."),
    ("city", {"feature_encoder": "__import__('os').abort()"}, "city has the encoder"),
    ("city", {"pretrained_emb": "x.npz", "pretrain_usage": "sum"}, r"city has a pretrained embedding \(sum\)"),
    ("city", {"type": "embedding"}, "city is of type 'embedding'"),
    ("city", {"type": "sequence", "max_len": 5}, "city is a pooled sequence beside the BST"),
    ("city", {"category_processor": "hash_bucket"}, "city has a category_processor"),
    ("cate_history", {"max_len": 7}, "the sequences have the lengths"),
    ("city", {"vocab_size": 3}, "has 4 rows of city, and the map says vocab_size=3"),
    ("city", {"vocab_size": 9}, "has 4 rows of city, and the map says vocab_size=9"),
    ("item_history", {"max_len": 10**30}, "the sequences have the lengths"),
]


@pytest.mark.parametrize(("name", "changes", "message"), SPECS)
def test_features_that_cannot_be_carried_are_refused(
    folder: Path, name: str, changes: dict[str, Any], message: str
) -> None:
    values = json.loads((folder / MAP).read_text())
    next(spec[name] for spec in values["features"] if name in spec).update(changes)
    (folder / MAP).write_text(json.dumps(values))
    refused(folder, message)


def test_a_pooling_that_the_experiment_overrules_is_no_obstacle(folder: Path) -> None:
    rewritten(folder / MAP, '"max_len": 5', '"max_len": 5, "feature_encoder": "layers.MaskedAveragePooling()"')
    specs = "feature_specs: [{name: [item_history, cate_history], feature_encoder: null}]"
    rewritten(folder / CONFIG, "BST_best:\n", f"BST_best:\n  {specs}\n")
    import_fuxictr(folder, folder.parent / "run")


WEIGHTS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "dnn.mlp.0.bias is missing": lambda tensors: tensors.pop("dnn.mlp.0.bias"),
    "extra are no part of the model": lambda tensors: tensors.update(extra=torch.zeros(1)),
    "transformer_encoders.1.* are no part of the model": lambda tensors: tensors.update(
        {"transformer_encoders.1.position_emb": torch.zeros(6, 4)}
    ),
    r"position_emb is \[7, 4\], and \[6, any\] fits the rest": lambda tensors: tensors.update(
        {"transformer_encoders.0.position_emb": torch.zeros(7, 4)}
    ),
}


@pytest.mark.parametrize("message", WEIGHTS)
def test_weights_that_do_not_fit_are_refused(folder: Path, message: str) -> None:
    tensors = torch.load(folder / "BST_best.model")
    WEIGHTS[message](tensors)
    torch.save(tensors, folder / "BST_best.model")
    refused(folder, message)


@pytest.mark.parametrize("shape", [(9, 1), (4,)])
def test_a_number_that_does_not_fit_its_encoder_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_folder(tmp_path / "dir", Case({"encoders": True, "numbers": ["price"]}))
    tensors = torch.load(tmp_path / "dir" / "BST_best.model")
    tensors["embedding_layer.embedding_layers.price.weight"] = torch.zeros(shape)
    torch.save(tensors, tmp_path / "dir" / "BST_best.model")
    refused(tmp_path / "dir", "the encoder of price reads 4 columns, and there are")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"Rome": 2, ', "", "has no token of city for row 2, or two, which takes `remap: false`"),
        ('"Rome": 2', '"Rome": 1', "has no token of city for row 2, or two"),
        ('"Rome": 2, "__OOV__": 3', '"__OOV__": 2', "has 3 rows of city, and the map says vocab_size=4"),
    ],
)
def test_a_vocabulary_that_lost_a_token_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    rewritten(folder / "feature_vocab.json", old, new)
    refused(folder, message)


def test_a_table_of_any_stated_size_is_no_more_than_one_that_does_not_fit(folder: Path) -> None:
    rewritten(folder / MAP, '"max_len": 5', f'"max_len": {10**30}')
    refused(folder, r"position_emb is \[6, 4\], and \[1000000000000000000000000000001, any\] fits the rest$")


def test_all_offences_come_in_one_message(folder: Path) -> None:
    rewritten(folder / CONFIG, "target\n", "concat\n")
    rewritten(folder / MAP, '"type": "numeric"', '"type": "embedding"')
    refused(folder, "price is of type 'embedding'.*; seq_pooling_type=concat cannot be carried")


def test_files_that_are_missing_are_named_together(folder: Path) -> None:
    for name in ("BST_best.model", "feature_vocab.json", DATASET):
        (folder / name).unlink()
    refused(folder, r"has no \*.model, dataset_config.yaml, feature_vocab.json; copy them there")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"type": "sequence"', '"type": "sequence", "padding": "both"', "padding='both'.*known: pre, post"),
        ("feature_cols", "columns", "has no feature_cols, so the side of the padding is not known"),
        ('"name": "cate_history"', '"name": "other"', "cate_history is no column of dataset_config.yaml"),
        ('"name": "cate_history",', '"name": "cate_history", "padding": "pre",', "padded on different sides"),
        ('"name": "price",', '"name": "price", "normalizer": "MinMaxScaler",', "give --normaliser price=MEAN:SCALE"),
    ],
)
def test_a_dataset_that_does_not_fit_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    rewritten(folder / DATASET, old, new)
    refused(folder, message)


def test_a_normaliser_without_need_is_refused(folder: Path) -> None:
    refused(
        folder, "--normaliser price: there is no number of that name with a normalizer", normalisers={"price": (0, 1)}
    )


def test_the_experiment_is_asked_for_only_where_two_fit(folder: Path) -> None:
    shutil.copy(folder / "BST_best.model", folder / "other.model")
    refused(folder, "of which 2 have weights of their name; choose one with --experiment")
    refused(folder, "--experiment third is not in model_config.yaml .*; known: BST_best, other", experiment="third")
    result = import_fuxictr(folder, folder.parent / "run", "BST_best")
    assert result.run.config.model.num_heads == 2


def test_files_are_found_below_the_folder_and_in_folders_of_configs(folder: Path) -> None:
    for name, place in ((CONFIG, "config/model_config/best.yaml"), (DATASET, "config/dataset_config/clicks.yaml")):
        (folder / place).parent.mkdir(parents=True)
        (folder / name).rename(folder / place)
    (folder / "checkpoints" / "clicks").mkdir(parents=True)
    (folder / "BST_best.model").rename(folder / "checkpoints" / "clicks" / "BST_best.model")
    import_fuxictr(folder, folder.parent / "run")


def test_base_may_be_missing_and_defaults_are_those_of_the_library(folder: Path) -> None:
    text = (folder / CONFIG).read_text()
    own = text[text.index("BST_best:") :].replace("  num_heads: 2\n", "").replace("  use_residual: true\n", "")
    (folder / CONFIG).write_text(own)
    import_fuxictr(folder, folder.parent / "run")
    page = (folder.parent / "run" / "import.md").read_text()
    assert "| num_heads | 2 | the library's default |" in page
    assert "| batch_norm | False | model_config.yaml, BST_best |" in page


@pytest.mark.parametrize("layout", ["[[item, cate]]", "[!!python/tuple [item, cate]]"])
def test_fields_may_be_written_in_several_ways(folder: Path, layout: str) -> None:
    rewritten(folder / CONFIG, "!!python/tuple [item, cate]", layout)
    import_fuxictr(folder, folder.parent / "run")


def test_without_properties_a_category_is_asked_for(folder: Path) -> None:
    (folder / "item_features.json").unlink()
    import_fuxictr(folder, folder.parent / "run")
    config = load_run(folder.parent / "run").config.model
    assert [[one.name for one in part] for part in (config.event_features, config.candidate_features)] == [
        ["cate_history"],
        ["cate"],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "is no vocabulary of FuxiCTR"),
        ('{"item": {"a": 1}}', "has no __PAD__ in row 0, or no __OOV__"),
        ('{"item": {"__PAD__": 0, "a": "1", "__OOV__": 2}}', "has '1' as the row of 'a'"),
        ('{"item": 3}', "'item' is no table of rows by token"),
        ("{", "is no vocabulary of FuxiCTR"),
        ("[" * 100_000, "is no vocabulary of FuxiCTR"),
        ('{"item": {"__PAD__": 0, "\\ud83d": 1, "__OOV__": 2}}', "is no vocabulary of FuxiCTR .'utf-8' codec"),
    ],
)
def test_a_vocabulary_that_is_none_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "feature_vocab.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_tokens(tmp_path / "feature_vocab.json")


@pytest.mark.parametrize(
    ("tokens", "numeric"),
    [(["1", "-20"], True), (["1", "007"], False), (["1", "9223372036854775808"], False), (["1", "1.0"], False)],
)
def test_ids_are_numbers_where_all_tokens_are_written_as_numbers(
    tmp_path: Path, tokens: list[str], numeric: bool
) -> None:
    rows = {"__PAD__": 0, **{token: row for row, token in enumerate(tokens, 1)}, "__OOV__": 3}
    (tmp_path / "feature_vocab.json").write_text(json.dumps({"item": rows}))
    assert read_tokens(tmp_path / "feature_vocab.json")["item"].numeric is numeric


@pytest.mark.parametrize(
    ("value", "numeric", "expected"), [("x", True, None), ("12", True, 12), (2**63, True, None), (3, False, "3")]
)
def test_a_value_is_an_id_of_the_kind_of_its_vocabulary(value: Any, numeric: bool, expected: Any) -> None:
    assert as_id(value, numeric) == expected
