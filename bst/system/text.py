"""Text that a user types, or reads in one line."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5


def split_list(text: str) -> list[str]:
    """Split a list with commas into its parts, without the whitespace around them and without empty ones."""
    return [part.strip() for part in text.split(",") if part.strip()]


def shortened(parts: Sequence[str], separator: str = ", ") -> str:
    """Join the first `SHOWN` parts, and say how many more there are."""
    more = [f"and {len(parts) - SHOWN:,} more"] if len(parts) > SHOWN else []
    return separator.join([*parts[:SHOWN], *more])
