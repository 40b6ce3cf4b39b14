"""A model repository for NVIDIA Triton: each signature of a bundle is a model of its ONNX Runtime backend."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

from bst.data.vocabulary import Vocabularies
from bst.errors import InputError
from bst.run.folder import read_vocabularies
from bst.system.console import Tell
from bst.system.files import require_new, require_space, staged_folder
from bst.system.templates import render
from export.contract.contents import check_files
from export.contract.inputs import Array
from export.contract.manifest import WHAT, Manifest
from export.contract.recordings import holds_real_users
from export.contract.rules import read_manifest
from export.contract.signatures import Signature
from export.formats import FORMATS
from export.handout.snippets import example
from export.handout.triton_config import config_of, is_batched, samples_of
from export.proof.golden import read_golden

READ_ME = Path(__file__).parent / "templates" / "triton.md.jinja"
REPOSITORY = "the model repository"
KSERVE_TYPES = {"int64": "INT64", "string": "BYTES", "float32": "FP32"}


def require_repository(target: Path, bundle: Path, formats: tuple[str, ...]) -> None:
    """Refuse, before any work is done, a bundle or target from which no model repository can be made.

    Raises:
        InputError: `target` exists or cannot be made; it and `bundle` lie one inside the other, whose files would then
            not be those of its manifest; `formats` lack onnx.
    """
    if "onnx" not in formats:
        raise InputError(f"--triton needs onnx, and {bundle} holds {', '.join(formats)}; export with onnx in --formats")
    here, there = target.resolve(), bundle.resolve()
    if not target.exists() and (here.is_relative_to(there) or there.is_relative_to(here)):
        raise InputError(f"--triton {target} and the bundle {bundle} lie one inside the other; give another --triton")
    require_new(target, REPOSITORY, "--triton")


def export_triton(bundle: Path, target: Path, *, tell: Tell = lambda step: None) -> tuple[str, ...]:
    """Write the model repository `target` from a bundle, or nothing at all; return the names of its models.

    Each signature is a model of that name: `config.pbtxt`, `1/model.onnx` with its weights beside it, and in `warmup/`
    golden inputs, if the bundle has them, which Triton runs before the model is ready. `README.md` says how to start
    the server and how to call it.

    Each model has a copy of the weights: `onnx.load` refuses weights that are a link, or have a second name.

    Raises:
        InputError: as `require_repository`, or `bundle` is not a bundle.
        CheckError: files of the bundle are missing or altered, or a graph has weights that are not among them.
    """
    manifest = read_manifest(bundle)
    require_repository(target, bundle, manifest.format_names)
    tell("checking files")
    check_files(bundle, manifest)
    record = manifest.format("onnx")
    signatures = manifest.signatures_of(record)
    with staged_folder(target, REPOSITORY) as stage:
        sizes = sum(file.bytes for file in manifest.files if file.path.startswith("onnx/"))
        require_space(stage, sizes * len(signatures), REPOSITORY)
        for signature in signatures:
            tell(f"writing {signature.name} for Triton")
            folder = stage / signature.name
            graph = record.entries[signature.name].path
            weights = FORMATS.find("onnx").beside_in(bundle, manifest, record, signature)
            _place_graph(bundle / graph, [bundle / path for path in weights], folder / "1")
            recorded = (bundle / record.golden / f"{signature.name}.json").exists()
            golden = read_golden(bundle / record.golden, signature) if recorded else []
            samples = samples_of(signature, golden)
            (folder / "warmup").mkdir()
            for sample in samples:
                for name, array in sample.inputs.items():
                    (folder / "warmup" / f"{sample.case}.{name}").write_bytes(raw_bytes(array))
            (folder / "config.pbtxt").write_text(config_of(manifest, signature, samples), encoding="utf-8")
        warm = any(path.is_file() for path in stage.glob("*/warmup/*"))
        read_me = _read_me(manifest, signatures, read_vocabularies(bundle, WHAT), warm=warm)
        (stage / "README.md").write_text(read_me, encoding="utf-8")
    return tuple(record.entries)


def raw_bytes(array: Array) -> bytes:
    """Write int64, float32 or text as Triton reads it: little-endian and row by row.

    Before each text, in UTF-8, stands its length in four bytes.
    """
    if array.dtype != object:
        return array.astype("<f4" if array.dtype.kind == "f" else "<i8").tobytes()
    texts = [text.encode() for text in array.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _place_graph(graph: Path, weights: list[Path], folder: Path) -> None:
    """Put an ONNX file and its weights into `folder`."""
    folder.mkdir(parents=True)
    shutil.copyfile(graph, folder / "model.onnx")
    for source in weights:
        place = folder / source.relative_to(graph.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)


def _read_me(manifest: Manifest, signatures: tuple[Signature, ...], vocabularies: Vocabularies, *, warm: bool) -> str:
    record = manifest.format("onnx")
    curl = _curl(manifest.main_signature(record.ids), manifest, vocabularies)
    return render(
        READ_ME,
        manifest=manifest,
        signatures=signatures,
        needs=record.needs,
        curl=curl,
        confidential=warm and holds_real_users(manifest.settings.golden),
    )


def _curl(signature: Signature, manifest: Manifest, vocabularies: Vocabularies) -> str:
    inputs = []
    for tensor in example(signature, vocabularies, manifest.model, manifest.settings.top_k.limit):
        shape = [1, *tensor.shape] if len(tensor.shape) == 1 and is_batched(signature) else tensor.shape
        datatype = KSERVE_TYPES[tensor.dtype]
        inputs.append({"name": tensor.name, "shape": shape, "datatype": datatype, "data": tensor.values})
    body = json.dumps({"inputs": inputs}, ensure_ascii=False)
    return f"curl -s localhost:8000/v2/models/{signature.name}/infer -d {shlex.quote(body)}"
