"""The system: files, processes, memory, text; nothing here knows of recommenders."""

from bst.system.console import Tell, told_steps
from bst.system.registry import Registry
from bst.system.templates import render

__all__ = ["Registry", "Tell", "render", "told_steps"]
