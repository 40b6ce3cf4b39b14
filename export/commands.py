"""`bst export`, `bst verify`, `bst recommend` and `bst serve`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bst.errors import CheckError, InputError, printable
from bst.system.commands import INPUT, OUTPUT
from bst.system.console import told_steps
from bst.system.text import split_list
from bst.system.validation import validated
from export.bundle.exporter import DEFAULTS, export_bundle, refresh_bundle
from export.bundle.folder import Verdict, open_bundle, verify_bundle
from export.contract.contents import GOLDEN
from export.contract.manifest import MANIFEST_FILE, PARITY_HEADS, Manifest
from export.contract.quality import ClickQuality
from export.contract.recordings import RECORDINGS
from export.contract.rules import read_manifest
from export.contract.settings import ExportSettings
from export.formats import FORMATS
from export.formats.compatibility import warnings_of
from export.handout.triton import export_triton, require_repository
from export.page import HOST, PORT, require_page, require_server, serve_page
from export.sessions.typed_user import typed_user

input_option, output_option = (
    partial(typer.Option, rich_help_panel=INPUT),
    partial(typer.Option, rich_help_panel=OUTPUT),
)
export_option = partial(typer.Option, rich_help_panel="What is exported")
machine_option = partial(typer.Option, rich_help_panel="For this machine")
page_option = partial(typer.Option, rich_help_panel="The page")

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle that `bst export` wrote.")]

ExcludeHistory = Annotated[
    bool | None,
    export_option(
        "--exclude-history/--keep-history",
        help="Leave items of the history out of top_k, or keep them.  [default: as the run was measured]",
    ),
]
Port = Annotated[
    int | None, page_option(help=f"Port of the page on this machine; 0 takes a free one [{PORT}].", min=0, max=65535)
]
NoBrowser = Annotated[bool, page_option("--no-browser", help="Print the address alone; open no browser.")]
BACKENDS = ", ".join(form.backend for form in FORMATS)

Golden = Annotated[
    str | None,
    export_option(
        help="Recorded calls for bst verify and bst bench: "
        + "; ".join(f"{recording.name}: {recording.about}" for recording in RECORDINGS)
        + f" [{DEFAULTS.golden}]."
    ),
]


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run that `bst train` wrote; with --triton alone, a bundle.")
    ],
    out: Annotated[Path | None, output_option(help="The bundle to write; must not exist.")] = None,
    into: Annotated[
        Path | None,
        output_option(help="A bundle to refresh: weights and ids of RUN in its formats and settings, in one step."),
    ] = None,
    formats: Annotated[
        str | None, export_option(help=f"Which formats, separated by commas: {', '.join(FORMATS.names)}.")
    ] = None,
    signatures: Annotated[
        str | None, export_option(help=f"Which signatures, separated by commas [{', '.join(DEFAULTS.signatures)}].")
    ] = None,
    k: Annotated[int | None, export_option(help=f"How many items top_k gives [{DEFAULTS.top_k.limit}].")] = None,
    max_k: Annotated[int | None, export_option(help="Make k an input of top_k, up to this many.")] = None,
    exclude_history: ExcludeHistory = None,
    ids: Annotated[
        str | None, export_option(help="raw: ids as in the data [default]; index: the caller holds the vocabulary.")
    ] = None,
    opset: Annotated[int | None, export_option(help=f"ONNX opset: 18, 20, 21 or 23 [{DEFAULTS.opset}].")] = None,
    shortlist: Annotated[
        bool, export_option(help="top_k in ONNX reads compact copies of the output layer where that costs less.")
    ] = True,
    tune: Annotated[
        bool, machine_option(help="Try ONNX Runtime's session options here; the manifest keeps the best.")
    ] = False,
    single_file: Annotated[bool, export_option(help="Put the weights into each ONNX file.")] = False,
    golden: Golden = None,
    native: Annotated[bool, machine_option(help="aotinductor for CPUs like this one, not any with AVX2.")] = False,
    triton: Annotated[
        Path | None,
        output_option(help="A model repository for Triton to write, from the bundle's onnx; must not exist."),
    ] = None,
) -> None:
    """Export a run as files, each proven equal to the model."""
    flags = {"shortlist": None if shortlist else False, "tune": tune or None, "cpu": "native" if native else None}
    flags |= {"single_file": single_file or None}
    texts = {"formats": formats, "signatures": signatures}
    lists = {name: None if names is None else split_list(names) for name, names in texts.items()}
    chosen = _chosen(k, max_k, exclude_history, {**lists, "ids": ids, "opset": opset, "golden": golden, **flags})
    if triton is not None and out is None and into is None:
        _require_bundle(run, chosen)
        _write_repository(run, triton)
        return
    if (out is None) == (into is None):
        raise InputError("give --out for a new bundle or --into for one to refresh, and not both")
    if into is not None and chosen:
        raise InputError(f"--into keeps the settings of {into}; leave out those of {', '.join(chosen)}, or use --out")
    settings = validated(ExportSettings, chosen, "export")
    bundle = out or into
    assert bundle is not None
    if triton is not None:
        require_repository(triton, bundle, settings.formats if into is None else read_manifest(into).format_names)
    with told_steps() as tell:
        manifest = export_bundle(run, bundle, settings, tell=tell) if out else refresh_bundle(run, bundle, tell=tell)
    _print_export(manifest, bundle)
    if triton is not None:
        _write_repository(bundle, triton)


def _chosen(k: int | None, max_k: int | None, exclude_history: bool | None, others: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that the command line gives, without those at their default."""
    if k is not None and max_k is not None:
        raise InputError(f"--k {k} fixes what --max-k {max_k} leaves to the caller; give one of them")
    top_k = {"limit": k if max_k is None else max_k, "k_is_input": max_k is not None or None}
    top_k["exclude_history"] = exclude_history
    chosen = {**others, "top_k": {name: value for name, value in top_k.items() if value is not None}}
    return {name: value for name, value in chosen.items() if value is not None and value != {}}


def _print_export(manifest: Manifest, bundle: Path) -> None:
    table = Table(*PARITY_HEADS, box=None)
    for row in manifest.parity:
        table.add_row(*row.cells())
    Console(width=None if Console().is_terminal else 140).print(table)
    print(f"errors are relative to the largest score of a call; {manifest.tolerance:.0e} is allowed")
    for line in quality_lines(manifest):
        print(line)
    for line in warnings_of(manifest):
        print(f"note: {printable(line)}")
    if RECORDINGS.find(manifest.settings.golden).real_users:
        print(f"note: {GOLDEN}/ holds histories of held-out users; --golden synthetic records made-up ones")
    if manifest.tuning:
        print(f"advised for ONNX Runtime on {manifest.tuning.cpu}: {manifest.tuning.options}")
    size = sum(record.bytes for record in manifest.files)
    print(f"wrote {bundle} ({len(manifest.files)} files, {size / 1e6:.1f} MB)")
    print(f"next: bst verify {bundle}; bst bench {bundle}")


def quality_lines(manifest: Manifest) -> Iterator[str]:
    """Write the metrics of the run and of the bundle's `top_k`, and whether both follow one rule."""
    quality, top_k = manifest.quality, manifest.settings.top_k
    if history := manifest.history:
        yield f"the history is computed {'once for all candidates' if history.once else 'for each'}: {history.reason}"
        yield from _click_lines(manifest.click_quality)
        return
    served = "leaves out what the history holds" if top_k.exclude_history else "keeps items of the history"
    if quality is None:
        yield f"top_k {served}; the run does not say how good it is"
        return
    alike = "as" if quality.filter_seen == top_k.exclude_history else "other than"
    yield f"top_k {served}, {alike} the run was measured"
    hits = {"HR@10": quality.model, "popularity": quality.popularity, "Markov": quality.markov}
    yield f"run, {quality.rule}: " + ", ".join(f"{name} {metrics['hr_10']:.4f}" for name, metrics in hits.items())
    if own := quality.top_k:
        yield f"top_k of this bundle: HR@{own.k} {own.hr:.4f}, NDCG@{own.k} {own.ndcg:.4f} ({own.users:,} users)"


def _click_lines(quality: ClickQuality | None) -> Iterator[str]:
    if quality is None:
        yield "the run does not say how good it is"
        return
    areas = {"AUC": quality.model, "popularity": quality.popularity, "Markov": quality.markov}
    yield (
        f"run, {quality.rule} beside {quality.negatives}: "
        + ", ".join(f"{name} {numbers.auc:.4f}" for name, numbers in areas.items())
        + f"; log loss {quality.model.log_loss:.4f}, base rate {quality.base_rate_log_loss:.4f}"
    )


def _require_bundle(path: Path, chosen: dict[str, Any]) -> None:
    if chosen:
        raise InputError(f"--triton alone takes {path} as it is; leave out {', '.join(chosen)}, or export with --out")
    if not (path / MANIFEST_FILE).is_file():
        raise InputError(f"{path} is not a bundle, which --triton alone takes; to export a run first, add --out BUNDLE")


def _write_repository(bundle: Path, repository: Path) -> None:
    with told_steps() as tell:
        models = export_triton(bundle, repository, tell=tell)
    print(f"wrote {repository}, a model repository for Triton: {', '.join(models)}")
    print(f"next: tritonserver --model-repository {repository}")


def verify(
    bundle: BundlePath,
    json_output: Annotated[bool, output_option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Check a bundle's files, and replay its recorded calls.

    Hashes are compared, every file is loaded, and notes name what may break on this machine.
    """
    notes = warnings_of(read_manifest(bundle))
    verdicts, failure = [], None
    try:
        with told_steps() as tell:
            for verdict in verify_bundle(bundle, tell, notes.append):
                verdicts.append(verdict)  # noqa: PERF402  kept when the next one fails
    except CheckError as error:
        failure = error
    if json_output:
        verdict_json = {
            "ok": failure is None,
            "failure": failure and str(failure),
            "verdicts": [vars(each) for each in verdicts],
            "warnings": notes,
        }
        print(json.dumps(verdict_json))
    else:
        for each in verdicts:
            print(f"ok  {each.format:<12}{each.signature:<17}{_replayed(each)}")
        for line in notes:
            print(f"note: {printable(line)}")
    if failure:
        raise failure


def _replayed(verdict: Verdict) -> str:
    if verdict.max_error is None:
        return "loaded, not replayed: its golden file was left out"
    calls = f"{verdict.cases:>4} calls {verdict.rows:>5} rows"
    return f"{calls}  max error {verdict.max_error:.1e}  {verdict.swaps} tied swaps"


def recommend(
    bundle: BundlePath,
    history: Annotated[str, input_option(help="Ids of the user's items, oldest first, separated by commas.")] = "",
    context: Annotated[
        list[str] | None, input_option(help="A feature and its value, such as gender=F; repeatable.")
    ] = None,
    event: Annotated[
        list[str] | None,
        input_option(help="A feature of the events and a value an item, such as kind=view,buy; repeatable."),
    ] = None,
    backend: Annotated[str, typer.Option(help=f"{BACKENDS} or eager.")] = "onnxruntime",
    k: Annotated[
        int | None, output_option(help="Number of items, up to the bundle's k [all; with --max-k 10].")
    ] = None,
    json_output: Annotated[bool, output_option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Recommend items for one user."""
    opened = open_bundle(bundle)
    user = typed_user(opened.manifest, opened.vocabularies, history, context or [], event or [])
    recommender = opened.recommender(backend)
    if user.strangers:
        print(f"ignored, not known to the model: {printable(', '.join(user.strangers))}", file=sys.stderr)
    answer = recommender.recommend(user.history, user.context, events=user.events, k=k)
    if json_output:
        print(json.dumps(answer.to_dict()))
        return
    for place, (item, score) in enumerate(zip(answer.item_ids, answer.scores, strict=True), start=1):
        name = f"  {printable(answer.names[place - 1] or '')}".rstrip() if answer.names else ""
        print(f"{place:>3}  {printable(str(item)):<20} {score:9.4f}{name}")


def serve(
    bundle: BundlePath,
    host: Annotated[
        str, page_option(help="The address to listen at; browsers run the page on localhost or over https alone.")
    ] = HOST,
    port: Port = None,
    no_browser: NoBrowser = False,
) -> None:
    """Show a bundle on a page in the browser.

    The page recommends while you pick, and computes everything itself. Ctrl-C ends it.
    """
    require_page(bundle)
    port = PORT if port is None else port
    require_server(host, port)
    if code := serve_page(bundle, host=host, port=port, browser=not no_browser):
        raise typer.Exit(code)
