"""The bundle: written, opened, verified, tuned."""

from export.bundle.exporter import DEFAULTS, export_bundle, refresh_bundle
from export.bundle.folder import Bundle, Verdict, format_of_backend, open_bundle, verify_bundle

__all__ = [
    "DEFAULTS",
    "Bundle",
    "Verdict",
    "export_bundle",
    "format_of_backend",
    "open_bundle",
    "refresh_bundle",
    "verify_bundle",
]
