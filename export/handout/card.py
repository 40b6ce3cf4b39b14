"""The model card: the `README.md` inside a bundle, for the person who finds the folder."""

from __future__ import annotations

from pathlib import Path

from bst.data.vocabulary import Vocabularies
from export.contract.manifest import PARITY_HEADS, FormatRecord, Manifest, VocabularyFacts
from export.contract.signatures import Signature
from export.handout import snippets


def write_card(folder: Path, manifest: Manifest, vocabularies: Vocabularies) -> None:
    """Write `README.md` into `folder`: what the model takes and gives, how to call it, how close the formats are."""
    (folder / "README.md").write_text(_card(manifest, vocabularies), encoding="utf-8")


def _card(manifest: Manifest, vocabularies: Vocabularies) -> str:
    model = manifest.model
    padding = manifest.items.padding if manifest.ids == "raw" else 0
    versions = ", ".join(f"{name} {number}" for name, number in manifest.versions.items())
    return f"""# A Behaviour Sequence Transformer, exported

Reads what a user did, oldest first, and scores {manifest.items.count:,} items for what comes next. Exported by `bst`
from the run with sha256 `{manifest.run_sha256[:16]}...`; everything a program needs to know is in `manifest.json`.

Model: dim {model.dim}, {model.num_blocks} blocks, {model.num_heads} heads, histories up to {model.max_length} items
(longer ones are cut to the newest), pooling `{model.pooling}`, {"tied" if model.tied_output else "own"} output layer.

## What goes in and comes out

| signature | inputs | outputs |
|---|---|---|
{_signature_rows(manifest)}

Axes in words take any size from 1 up; of a history longer than {model.max_length} slots the newest are read. Fill
unused slots with `{padding!r}`, at any position: they are ignored, as are ids that the model does not know.
{_context_sentence(manifest)}
`vocabulary.json` lists the ids in the order of their indices, which begin at 1.
{_signature_sentences(manifest)}

## Call it

{_snippets(manifest, vocabularies)}

Prove it on your machine: `bst verify .` checks every file's hash and replays the recorded inputs and outputs in
`golden/`, which are plain JSON for programs in other languages (and ONNX test data beside it).

## What each format needs

| format | ids | written in | made with | needs | equal scores |
|---|---|---|---|---|---|
{_needs_rows(manifest)}

{_remarks(manifest)}

## How close the formats are to the trained model

Largest difference divided by the largest score of the call, over the named edge cases and held-out users; {
        manifest.tolerance:.0e} is allowed.

{parity_table(manifest)}

"adds" is what the format adds to the error that eager float32 itself has against float64; "alone", "padded" and
"permuted" compare a format with itself: a row alone and in a batch, with more padding, with candidates reordered.

Made with {versions}.
"""


def parity_table(manifest: Manifest) -> str:
    """The parity and error budget as a Markdown table."""
    rows = [PARITY_HEADS, ("---",) * len(PARITY_HEADS), *(one.cells() for one in manifest.parity)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _snippets(manifest: Manifest, vocabularies: Vocabularies) -> str:
    found: list[tuple[str, str, str]] = []
    limit = manifest.settings.top_k.limit
    onnx, torchscript, pt2 = (
        next((record for record in manifest.formats if record.name == name), None)
        for name in ("onnx", "torchscript", "pt2")
    )
    if onnx:
        signature = manifest.main_signature(onnx.ids)
        given = snippets.example(signature, vocabularies, limit)
        found += [
            ("Python", "python", snippets.python_onnxruntime(signature, given)),
            ("C++ (ONNX Runtime)", "cpp", snippets.cpp(signature, given)),
            ("Node", "js", snippets.node(signature, given)),
        ]
    for record, title, make in (
        (torchscript, "TorchScript", snippets.python_torchscript),
        (pt2, "torch.export", snippets.python_pt2),
    ):
        if record:
            signature = manifest.main_signature(record.ids)
            given = snippets.example(signature, vocabularies, limit)
            found.append((title, "python", make(signature, given)))
    return "\n\n".join(f"{title}:\n\n```{language}\n{code}\n```" for title, language, code in found)


def _signature_rows(manifest: Manifest) -> str:
    def listed(signature: Signature, kind: str) -> str:
        specs = signature.inputs if kind == "inputs" else signature.outputs
        return ", ".join(f"`{spec.name}` {spec.dtype} [{', '.join(map(str, spec.shape))}]" for spec in specs)

    here = [one for one in manifest.signatures if one.ids == manifest.ids]
    return "\n".join(f"| `{one.name}` | {listed(one, 'inputs')} | {listed(one, 'outputs')} |" for one in here)


def _needs_rows(manifest: Manifest) -> str:
    def row(record: FormatRecord) -> str:
        needs = record.needs
        told = [f"{name} {number} or later" for name, number in needs.at_least.items()]
        if needs.machine:
            told.append(f"{needs.machine} with {', '.join(needs.cpu_flags)}")
        cells = (
            ", ".join(f"{name} {number}" for name, number in needs.versions.items()),
            ", ".join(f"{name} {number}" for name, number in needs.made_with.items()),
            "; ".join(told),
        )
        return f"| {record.name} | {record.ids} | {' | '.join(cells)} | {record.equal_scores} |"

    return "\n".join(row(record) for record in manifest.formats)


def _remarks(manifest: Manifest) -> str:
    lines = [f"* {record.name}: {remark}." for record in manifest.formats for remark in record.needs.remarks]
    lines += [
        f"* {record.name} is at index level, because text cannot go through tensors: `items`, `context` and "
        "`candidates` are places in `vocabulary.json`, from 1."
        for record in manifest.formats
        if record.ids != manifest.ids
    ]
    return "\n".join(lines)


def _signature_sentences(manifest: Manifest) -> str:
    sentences = {
        "all_scores": "Column j of `all_scores` is the item with index j + 1.",
        "top_k": f"`top_k` gives {_top_k_sentence(manifest)}",
        "score_candidates": "An unknown candidate scores -inf.",
        "encode_user": "`user_vector` times an item's row of the output layer, plus the item's bias, is its score.",
    }
    return "\n".join(sentences[name] for name in manifest.settings.signatures)


def _top_k_sentence(manifest: Manifest) -> str:
    top_k = manifest.settings.top_k
    count = f"as many as its input `k` says, at most {top_k.limit}," if top_k.k_is_input else str(top_k.limit)
    left_out = "leaving out what the history holds" if top_k.exclude_history else "items of the history among them"
    return f"{count} items, best first, {left_out}."


def _context_sentence(manifest: Manifest) -> str:
    if not manifest.context:
        return "There are no context features."
    if manifest.ids == "index":
        return "Context index 0 is the unknown category."

    def described(name: str, facts: VocabularyFacts) -> str:
        return f"`{name}` ({facts.count} categories, {facts.padding!r} if unknown)"

    return "Context: " + ", ".join(described(name, facts) for name, facts in manifest.context.items()) + "."
