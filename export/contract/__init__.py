"""The contract: what a bundle promises its callers, as plain values."""

from export.contract.manifest import Description, Manifest
from export.contract.parity import Comparison, compare
from export.contract.rules import read_manifest
from export.contract.settings import ExportSettings
from export.contract.signatures import SIGNATURES, Signature, SignatureKind, TensorSpec, TopK

__all__ = [
    "SIGNATURES",
    "Comparison",
    "Description",
    "ExportSettings",
    "Manifest",
    "Signature",
    "SignatureKind",
    "TensorSpec",
    "TopK",
    "compare",
    "read_manifest",
]
