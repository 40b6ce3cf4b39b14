"""The model card: the `README.md` inside a bundle, for the person who finds the folder."""

from __future__ import annotations

from pathlib import Path

from export.manifest import Manifest, VocabularyFacts
from export.signatures import Signature


def write_card(folder: Path, manifest: Manifest) -> None:
    """Write `README.md` into `folder`: what the model takes and gives, how to call it, how close the formats are."""
    (folder / "README.md").write_text(_card(manifest), encoding="utf-8")


def _card(manifest: Manifest) -> str:
    model = manifest.model
    top_k = manifest.signature("top_k")
    raw = manifest.ids == "raw"
    padding = manifest.items.padding if raw else 0
    parity = "\n".join(
        f"| {one.format} | {one.signature} | {one.cases} | {one.rows} | {one.max_error:.1e} "
        f"| {one.error_to_float64:.1e} | {one.eager_error_to_float64:.1e} | {one.swaps} |"
        for one in manifest.parity
    )
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
Column j of `all_scores` is the item with index j + 1; `vocabulary.json` lists the ids in that order.

## Call it

```python
{_python_snippet(manifest, top_k)}
```

Prove it on your machine: `bst verify .` checks every file's hash and replays the recorded inputs and outputs in
`golden/`, which are plain JSON for programs in other languages (and ONNX test data beside it).

## How close the formats are to the trained model

Largest difference divided by the largest score, over the named edge cases and held-out users.

| format | signature | calls | rows | to eager | to float64 | eager to float64 | equal scores swapped |
|---|---|---|---|---|---|---|---|
{parity}

Made with {versions}.
{_format_sentences(manifest)}
"""


def _format_sentences(manifest: Manifest) -> str:
    sentences = {
        "onnx": f"ONNX: opset {manifest.opset}, plain operators and ai.onnx.ml LabelEncoder.",
        "torchscript": "TorchScript is deprecated in torch 2.13 and later: it loads today, and may not tomorrow.",
    }
    return "\n".join(sentences[form] for form in manifest.formats)


def _torchscript_snippet(top_k: Signature, outputs: str) -> str:
    names = ", ".join(spec.name for spec in top_k.inputs)
    return (
        "import torch\n"
        'model = torch.jit.load("torchscript/model.pt")\n'
        f"{outputs} = model.top_k({names})  # tensors of int64, lists of text"
    )


def _signature_rows(manifest: Manifest) -> str:
    def listed(signature: Signature, kind: str) -> str:
        specs = signature.inputs if kind == "inputs" else signature.outputs
        return ", ".join(f"`{spec.name}` {spec.dtype} [{', '.join(map(str, spec.shape))}]" for spec in specs)

    return "\n".join(
        f"| `{one.name}` | {listed(one, 'inputs')} | {listed(one, 'outputs')} |" for one in manifest.signatures
    )


def _context_sentence(manifest: Manifest) -> str:
    if not manifest.context:
        return "There are no context features."
    if manifest.ids == "index":
        return "Context index 0 is the unknown category."

    def described(name: str, facts: VocabularyFacts) -> str:
        return f"`{name}` ({facts.count} categories, {facts.padding!r} if unknown)"

    return "Context: " + ", ".join(described(name, facts) for name, facts in manifest.context.items()) + "."


def _python_snippet(manifest: Manifest, top_k: Signature) -> str:
    feeds = []
    for spec in top_k.inputs:
        dtype = "np.int64" if spec.dtype == "int64" else "object"
        facts = manifest.context.get(spec.name, manifest.items)
        one = repr(facts.padding) if manifest.ids == "raw" else "0"
        value = (
            f"[{one}]"
            if len(spec.shape) == 1
            else f"[[{', '.join([one] * (spec.shape[1] if isinstance(spec.shape[1], int) else 1))}]]"
        )
        feeds.append(f'    "{spec.name}": np.array({value}, dtype={dtype}),')
    outputs = ", ".join(top_k.output_names)
    if "onnx" not in manifest.formats:
        return _torchscript_snippet(top_k, outputs)
    return "\n".join(
        [
            "import numpy as np, onnxruntime",
            'session = onnxruntime.InferenceSession("onnx/top_k.onnx")',
            f"{outputs} = session.run(None, {{  # here a user of whom nothing is known: put your ids in",
            *feeds,
            "})",
        ]
    )
