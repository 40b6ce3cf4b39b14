"""A run becomes a bundle: the same model in several formats, proven equal, described by a manifest."""

from export.backends import Session
from export.bundle import Bundle, Verdict, export_bundle, open_bundle, verify_bundle
from export.manifest import Manifest, read_manifest
from export.parity import Comparison, compare
from export.signatures import Signature, TensorSpec

__all__ = [
    "Bundle",
    "Comparison",
    "Manifest",
    "Session",
    "Signature",
    "TensorSpec",
    "Verdict",
    "compare",
    "export_bundle",
    "open_bundle",
    "read_manifest",
    "verify_bundle",
]
