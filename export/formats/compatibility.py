"""The needs of each format, compared with the machine it is to run on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from bst.system.machine import cpu_flags
from export.contract.manifest import FormatRecord, Manifest
from export.formats import FORMATS


def obstacles(record: FormatRecord) -> list[str]:
    """List the reasons why a format cannot run on this machine; it must then not be loaded. Empty if it can."""
    needs = record.needs
    reasons = []
    if needs.machine is not None and needs.machine != platform.machine():
        reasons.append(f"is machine code for {needs.machine}, this machine is {platform.machine()}")
    elif missing := [flag for flag in needs.cpu_flags if flag not in cpu_flags()]:
        reasons.append(f"needs the CPU features {', '.join(missing)}, which this CPU has not; export again here")
    reasons += FORMATS.find(record.name).obstacles(needs)
    for library, least in needs.at_least.items():
        here = _installed(library)
        if here is None or _numbers(here) < _numbers(least):
            reasons.append(f"needs {library} {least}, here is {here or 'none'}; update it")
    return reasons


def warnings_of(manifest: Manifest) -> list[str]:
    """List what may break on this machine, though it was not seen to: one line each."""
    warnings = []
    for record in manifest.formats:
        warnings += [f"{record.name}: {remark}" for remark in record.needs.remarks]
        for library, made_with in record.needs.made_with.items():
            here = platform.python_version() if library == "python" else _installed(library)
            if here is not None and _numbers(here)[:2] < _numbers(made_with)[:2]:
                warnings.append(
                    f"{record.name}: made with {library} {made_with}, here is the older {here}, which was not tried"
                )
        warnings += [f"{record.name}: {warning}" for warning in FORMATS.find(record.name).warnings()]
        if record.ids != manifest.ids:
            warnings.append(
                f"{record.name}: at index level, for text ids cannot go through tensors; vocabulary.json has them"
            )
    return warnings


def _installed(library: str) -> str | None:
    try:
        return version(library)
    except (PackageNotFoundError, ValueError):  # ValueError: a manifest may state a name that is none
        return None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part[:9]) for part in text.split("+")[0].split(".") if part.isdecimal())
