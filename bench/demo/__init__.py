"""The demo: from a table to a page in one command."""

from bench.demo.demo import DEFAULT_OUT, run_demo
from bench.demo.serve import DEFAULT_PORT, require_demo, require_server, serve_demo

__all__ = ["DEFAULT_OUT", "DEFAULT_PORT", "require_demo", "require_server", "run_demo", "serve_demo"]
