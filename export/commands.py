"""`bst export`, `bst verify` and `bst recommend`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from bst.console import told_steps
from bst.errors import CheckError, InputError
from export.bundle import DEFAULT_K, Bundle, export_bundle, open_bundle, verify_bundle
from export.manifest import FORMATS, Format, VocabularyFacts
from export.onnx_graph import DEFAULT_OPSET
from export.signatures import Ids

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle that `bst export` wrote.")]


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run that `bst train` wrote.")],
    out: Annotated[Path, typer.Option(help="The bundle to write; must not exist.")],
    formats: Annotated[str, typer.Option(help="Which formats, separated by commas.")] = ",".join(FORMATS),
    k: Annotated[int, typer.Option(help="How many items top_k gives.")] = DEFAULT_K,
    ids: Annotated[str, typer.Option(help="raw: ids as in the data; index: the caller holds the vocabulary.")] = "raw",
    opset: Annotated[int, typer.Option(help="ONNX opset.")] = DEFAULT_OPSET,
) -> None:
    """Export a run as a bundle of files, each proven equal to the model."""
    if ids not in ("raw", "index"):
        raise InputError(f"ids={ids!r} is not known; known: raw, index")
    chosen = tuple(dict.fromkeys(name.strip() for name in formats.split(",") if name.strip()))
    with told_steps() as tell:
        manifest = export_bundle(
            run, out, formats=cast(tuple[Format, ...], chosen), k=k, ids=cast(Ids, ids), opset=opset, tell=tell
        )
    table = Table("format", "signature", "calls", "rows", "to eager", "to float64", "(eager)", "swaps", box=None)
    for one in manifest.parity:
        errors = (f"{value:.1e}" for value in (one.max_error, one.error_to_float64, one.eager_error_to_float64))
        table.add_row(one.format, one.signature, str(one.cases), str(one.rows), *errors, str(one.swaps))
    Console().print(table)
    print(f"errors are relative to the largest score; {manifest.tolerance:.0e} is allowed")
    size = sum(record.bytes for record in manifest.files)
    print(f"wrote {out} ({len(manifest.files)} files, {size / 1e6:.1f} MB)\nnext: bst verify {out}; bst bench {out}")


def verify(
    bundle: BundlePath,
    json_output: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Check a bundle's hashes, load every file, replay the golden vectors."""
    verdicts, failure = [], None
    try:
        with told_steps() as tell:
            for verdict in verify_bundle(bundle, tell):
                verdicts.append(verdict)  # noqa: PERF402  kept when the next one fails
    except CheckError as error:
        failure = error
    if json_output:
        print(
            json.dumps(
                {
                    "ok": failure is None,
                    "failure": failure and str(failure),
                    "verdicts": [vars(one) for one in verdicts],
                }
            )
        )
    else:
        for one in verdicts:
            print(
                f"ok  {one.format:<12}{one.signature:<12}{one.cases:>4} calls {one.rows:>5} rows  "
                f"max error {one.max_error:.1e}  {one.swaps} swaps"
            )
    if failure:
        raise failure


def recommend(
    bundle: BundlePath,
    history: Annotated[str, typer.Option(help="Ids of what the user had, oldest first, separated by commas.")] = "",
    context: Annotated[
        list[str] | None, typer.Option(help="A feature and its value, such as gender=F; repeatable.")
    ] = None,
    backend: Annotated[str, typer.Option(help="onnxruntime, torchscript or eager.")] = "onnxruntime",
    json_output: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Recommend items for one user."""
    opened = open_bundle(bundle)
    inputs, strangers = _one_user(opened, history, context or [])
    if strangers:
        print(f"ignored, not known to the model: {', '.join(strangers)}", file=sys.stderr)
    answer = opened.session(backend, "top_k")(inputs)
    indices_or_ids = answer[opened.manifest.signature("top_k").outputs[0].name][0]
    found = (indices_or_ids if opened.manifest.ids == "raw" else opened.vocabularies.items.raw(indices_or_ids)).tolist()
    scores = [float(score) for score in answer["scores"][0]]
    if json_output:
        print(json.dumps({"item_ids": found, "scores": scores}))
        return
    for place, (item, score) in enumerate(zip(found, scores, strict=True), start=1):
        print(f"{place:>3}  {item!s:<20} {score:9.4f}")


def _one_user(bundle: Bundle, history: str, context: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Read one user's inputs from the command line, and list the values that the model does not know."""
    manifest, vocabularies = bundle.manifest, bundle.vocabularies
    given: dict[str, str] = {}
    for pair in (part for option in context for part in option.split(",")):
        name, equals, value = pair.partition("=")
        if not equals or name not in manifest.context or name in given:
            known = ", ".join(manifest.context) or "none"
            raise InputError(f"--context {pair!r} is not one of NAME=VALUE with a feature of the model, once: {known}")
        given[name] = value
    items = [_typed(text.strip(), manifest.items, "--history") for text in history.split(",") if text.strip()]
    strangers = [str(one) for one in items if not vocabularies.items.indices([one])[0]]
    values = {}
    for name, facts in manifest.context.items():
        values[name] = _typed(given[name], facts, f"--context {name}") if name in given else facts.padding
        if name in given and not vocabularies.context[name].indices([values[name]])[0]:
            strangers.append(f"{name}={given[name]}")
    row = items or [manifest.items.padding]
    if manifest.ids == "index":
        inputs = {"items": vocabularies.items.indices(row)[None]}
        if values:
            inputs["context"] = np.array(
                [[vocabularies.context[name].indices([one])[0] for name, one in values.items()]]
            )
        return inputs, strangers
    dtypes: dict[str, Any] = {"int64": np.int64, "string": object}
    inputs = {"history": np.array([row], dtype=dtypes[manifest.items.dtype])}
    for name, one in values.items():
        inputs[name] = np.array([one], dtype=dtypes[manifest.context[name].dtype])
    return inputs, strangers


def _typed(text: str, facts: VocabularyFacts, option: str) -> int | str:
    if facts.dtype == "string":
        return text
    try:
        number = int(text)
    except ValueError:
        number = 2**64
    if not -(2**63) <= number < 2**63:
        raise InputError(f"{option}: {text!r} is not an id of this model; its ids are integers of 64 bits")
    return number
