"""Text that a person types."""

from __future__ import annotations


def split_list(text: str) -> list[str]:
    """Split a list with commas into its parts, without the whitespace around them and without empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]
