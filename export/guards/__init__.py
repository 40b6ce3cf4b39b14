"""Guards: limits on what an untrusted file may hold, before and after torch reads it. `load` is the only door."""

from export.guards.door import PACKAGE, PROGRAM, SCRIPT, Kind, load

__all__ = ["PACKAGE", "PROGRAM", "SCRIPT", "Kind", "load"]
