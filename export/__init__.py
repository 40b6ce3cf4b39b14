"""Export: a run becomes a bundle, the same model in several formats, proven equal, described by a manifest."""

import os

# Builds of ONNX Runtime on PyPI report to Microsoft otherwise; read when the library is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from export.bundle.exporter import export_bundle, refresh_bundle
from export.bundle.folder import Bundle, Verdict, open_bundle, verify_bundle
from export.contract.manifest import Manifest
from export.contract.parity import Comparison, compare
from export.contract.rules import read_manifest
from export.contract.settings import ExportSettings
from export.contract.signatures import Signature, TensorSpec, TopK
from export.sessions.candidate_scorer import CandidateScorer, CandidateScores, UserScorer
from export.sessions.recommender import Recommendations, Recommender
from export.sessions.session import Session

__all__ = [
    "Bundle",
    "CandidateScorer",
    "CandidateScores",
    "Comparison",
    "ExportSettings",
    "Manifest",
    "Recommendations",
    "Recommender",
    "Session",
    "Signature",
    "TensorSpec",
    "TopK",
    "UserScorer",
    "Verdict",
    "compare",
    "export_bundle",
    "open_bundle",
    "read_manifest",
    "refresh_bundle",
    "verify_bundle",
]
