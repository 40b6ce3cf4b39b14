"""The demo: from a table to a page in one command."""

from bench.demo.demo import run_demo

__all__ = ["run_demo"]
