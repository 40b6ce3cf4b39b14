"""The bundle: written, opened, verified, tuned."""

from export.bundle.exporter import export_bundle, refresh_bundle
from export.bundle.folder import Bundle, Verdict, open_bundle, verify_bundle

__all__ = ["Bundle", "Verdict", "export_bundle", "open_bundle", "refresh_bundle", "verify_bundle"]
