"""A run becomes a bundle: the same model in several formats, proven equal, described by a manifest."""

import os

# Builds of ONNX Runtime on PyPI report to Microsoft otherwise; read when the library is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from export.backends import Session
from export.bundle import Bundle, Verdict, open_bundle, verify_bundle
from export.exporter import export_bundle, refresh_bundle
from export.manifest import Manifest, read_manifest
from export.parity import Comparison, compare
from export.settings import ExportSettings
from export.signatures import Signature, TensorSpec, TopK

__all__ = [
    "Bundle",
    "Comparison",
    "ExportSettings",
    "Manifest",
    "Session",
    "Signature",
    "TensorSpec",
    "TopK",
    "Verdict",
    "compare",
    "export_bundle",
    "open_bundle",
    "read_manifest",
    "refresh_bundle",
    "verify_bundle",
]
