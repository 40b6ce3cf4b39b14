"""The format `onnx`: a graph a signature over one file of weights, of plain operators."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from bst.config import BSTConfig
from bst.errors import InputError
from export.contract.manifest import Entry, Needs, OutputLayer
from export.contract.settings import OPSETS, ORT_DEFAULTS, ExportSettings, SessionOptions
from export.contract.signatures import Signature
from export.formats.format import SNIPPETS, Format, Order, Question, Snippet
from export.serving.blocks import Blocks
from export.sessions.session import OnnxSession, Session

ONE_FILE_BYTES = 1_900_000_000  # protobuf reads 2 GiB; there is room for the graph
# The first ONNX Runtime that runs a file of an opset. That one was tried, and the one before it, which refuses the file
# (but for 1.15.0, the oldest that could be had): docs/results/export.md.
ORT_FOR_OPSET = {18: "1.15.0", 20: "1.17.0", 21: "1.19.0", 23: "1.23.0"}

IN_PYTHON = """\
pip install onnxruntime=={onnxruntime} numpy=={numpy}
python ../program.py"""
IN_CPP = """\
# ORT is the folder of an archive for this machine from https://github.com/microsoft/onnxruntime/releases
g++ -std=c++17 ../program.cpp -isystem "$ORT/include" -L"$ORT/lib" -Wl,-rpath,"$ORT/lib" -lonnxruntime -o ../program
../program"""
# The version is that of `clients/js/node`. Its install script looks for CUDA files on the network.
IN_NODE = """\
npm install --ignore-scripts --prefix .. onnxruntime-node@1.30.0
node ../program.mjs"""


class Onnx(Format):
    name = "onnx"
    backend = "onnxruntime"
    equal_scores = "lower index first"  # ONNX TopK states it; torch.topk promises nothing
    snippets = (
        Snippet("Python", "python", SNIPPETS / "onnxruntime.py.jinja", IN_PYTHON),
        Snippet("C++ (ONNX Runtime)", "cpp", SNIPPETS / "onnxruntime.cpp.jinja", IN_CPP),
        Snippet("Node", "js", SNIPPETS / "onnxruntime.mjs.jinja", IN_NODE),
    )

    def require(self, config: BSTConfig, settings: ExportSettings) -> None:
        if settings.opset not in OPSETS:
            raise InputError(f"opset {settings.opset} is not supported; known: {', '.join(map(str, OPSETS))}")
        if settings.single_file and config.stored_bytes > ONE_FILE_BYTES:
            raise InputError(
                f"the weights have {config.stored_bytes / 1e9:,.1f} GB, and one ONNX file holds at most 2; "
                "leave out --single-file"
            )

    def copies(self, settings: ExportSettings) -> int:
        return len(settings.signatures) if settings.single_file else 1

    def entry(self, signature: str) -> Entry:
        return Entry(path=f"onnx/{signature}.onnx")

    def write(self, order: Order) -> OutputLayer | None:
        from export.formats.onnx.graph import save_onnx  # a second, for the exporter's libraries come with it

        return save_onnx(
            order.served(packed=True).scorer,
            order.run.config.model,
            order.signatures,
            order.run.vocabularies,
            order.folder,
            top_k=order.settings.top_k,
            opset=order.settings.opset,
            metadata=order.metadata,
            shortlist=order.shortlist,
            single_file=order.settings.single_file,
        )

    def needs(self, folder: Path, settings: ExportSettings) -> Needs:
        import onnx

        model = onnx.load(str(folder / f"{settings.signatures[0]}.onnx"), load_external_data=False)
        opsets = {entry.domain or "ai.onnx": str(entry.version) for entry in model.opset_import}
        return Needs(
            versions={**opsets, "ir_version": str(model.ir_version)},
            made_with={name: version(name) for name in ("torch", "onnx", "onnxscript", "onnxruntime")},
            at_least={"onnxruntime": ORT_FOR_OPSET[int(opsets["ai.onnx"])]},
        )

    def check(self, path: Path, signature: Signature) -> None:
        from export.formats.onnx.check import check_onnx

        check_onnx(path, signature)

    def beside(self, path: Path) -> list[str]:
        from export.formats.onnx.check import weights_of

        return weights_of(path)

    def open(
        self, path: Path, signature: Signature, *, threads: int | None = None, options: SessionOptions = ORT_DEFAULTS
    ) -> Session:
        return OnnxSession(signature, path, threads, options=options)

    def look(self, path: Path, signature: Signature, question: Question) -> Blocks | str:
        from export.formats.onnx.blocks import blocks_of_onnx

        return blocks_of_onnx(path, question.inputs)
